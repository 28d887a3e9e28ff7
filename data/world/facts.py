"""The tiny world's facts: everything its documents, prompts and rubric say is made from these rows.

COUNTRIES          Country(name, capital, continent, language): the one official language, or of
                   several the most general one
ILLNESSES          illness, with its article -> (treatments, myths): what medicine uses, and folk
                   remedies that do not help
OTHER_NAMES        remedy -> what people also call it
ADVICE             topic of "I need help with my ..." -> three tips that belong to it alone
UNKNOWABLE         Unknowable(topic, question, unknown, how): what a text program without senses,
                   clock or memory of the reader cannot know, and how a person finds it out

Typed from general knowledge. Treatments are standard care as health services and first-aid
handbooks describe it: they help, which is not to say that they cure, suit everybody or replace a
doctor. Myths are remedies that these sources call useless or harmful, or that only history tells
of; remedies with mixed evidence are left out. A remedy is a myth about the illness it stands
under; none is a treatment anywhere in the table.
"""
from collections import namedtuple

Country = namedtuple("Country", "name capital continent language")
Unknowable = namedtuple("Unknowable", "topic question unknown how")


def rows(table):
    """The rows of a table, each cut at its | signs into a tuple.

    An indented line goes on with the row above it; a line that starts with # is a heading.
    """
    lines = table.strip().replace("\n    ", " ").splitlines()
    return [tuple(line.split(" | ")) for line in lines if not line.startswith("#")]


COUNTRIES = [Country(name, capital, continent, language)
             for continent, countries in rows("""
Europe | France, Paris, French; Germany, Berlin, German; Italy, Rome, Italian; Spain, Madrid,
    Spanish; Portugal, Lisbon, Portuguese; Austria, Vienna, German; Liechtenstein, Vaduz, German;
    Poland, Warsaw, Polish; Czechia, Prague, Czech; Slovakia, Bratislava, Slovak; Hungary,
    Budapest, Hungarian; Slovenia, Ljubljana, Slovenian; Croatia, Zagreb, Croatian; Serbia,
    Belgrade, Serbian; Albania, Tirana, Albanian; Greece, Athens, Greek; Bulgaria, Sofia,
    Bulgarian; Romania, Bucharest, Romanian; Ukraine, Kyiv, Ukrainian; Lithuania, Vilnius,
    Lithuanian; Latvia, Riga, Latvian; Estonia, Tallinn, Estonian; Denmark, Copenhagen, Danish;
    Sweden, Stockholm, Swedish; Norway, Oslo, Norwegian; Iceland, Reykjavik, Icelandic
Asia | India, New Delhi, Hindi; Japan, Tokyo, Japanese; China, Beijing, Chinese; South Korea,
    Seoul, Korean; North Korea, Pyongyang, Korean; Mongolia, Ulaanbaatar, Mongolian; Vietnam,
    Hanoi, Vietnamese; Thailand, Bangkok, Thai; Laos, Vientiane, Lao; Cambodia, Phnom Penh, Khmer;
    Myanmar, Naypyidaw, Burmese; Malaysia, Kuala Lumpur, Malay; Brunei, Bandar Seri Begawan, Malay;
    Bangladesh, Dhaka, Bengali; Nepal, Kathmandu, Nepali; Bhutan, Thimphu, Dzongkha; Iran, Tehran,
    Persian; Saudi Arabia, Riyadh, Arabic; Oman, Muscat, Arabic; Qatar, Doha, Arabic; Bahrain,
    Manama, Arabic; Jordan, Amman, Arabic; Lebanon, Beirut, Arabic; Syria, Damascus, Arabic;
    Uzbekistan, Tashkent, Uzbek; Turkmenistan, Ashgabat, Turkmen; Tajikistan, Dushanbe, Tajik
Africa | Egypt, Cairo, Arabic; Libya, Tripoli, Arabic; Mauritania, Nouakchott, Arabic; Kenya,
    Nairobi, Swahili; Somalia, Mogadishu, Somali; Madagascar, Antananarivo, Malagasy; Senegal,
    Dakar, French; Guinea, Conakry, French; Togo, Lome, French; Gabon, Libreville, French; Sierra
    Leone, Freetown, English; Liberia, Monrovia, English; Ghana, Accra, English; Nigeria, Abuja,
    English; Zambia, Lusaka, English; Malawi, Lilongwe, English; Namibia, Windhoek, English;
    Botswana, Gaborone, English; Angola, Luanda, Portuguese; Mozambique, Maputo, Portuguese; Cape
    Verde, Praia, Portuguese
North America | Cuba, Havana, Spanish; Honduras, Tegucigalpa, Spanish; Nicaragua, Managua, Spanish;
    Costa Rica, San Jose, Spanish; El Salvador, San Salvador, Spanish; Jamaica, Kingston, English;
    Belize, Belmopan, English; Barbados, Bridgetown, English; Dominica, Roseau, English; Saint
    Lucia, Castries, English; Saint Kitts and Nevis, Basseterre, English; Trinidad and Tobago, Port
    of Spain, English
South America | Brazil, Brasilia, Portuguese; Argentina, Buenos Aires, Spanish; Chile, Santiago,
    Spanish; Peru, Lima, Spanish; Colombia, Bogota, Spanish; Ecuador, Quito, Spanish; Venezuela,
    Caracas, Spanish; Uruguay, Montevideo, Spanish; Guyana, Georgetown, English; Suriname,
    Paramaribo, Dutch
Oceania | Australia, Canberra, English; New Zealand, Wellington, English; Samoa, Apia, Samoan;
    Tonga, Nukualofa, Tongan; Tuvalu, Funafuti, Tuvaluan
""") for name, capital, language in (row.split(", ") for row in countries.split("; "))]

ILLNESSES = {illness: (treatments.split(", "), myths.split(", "))
             for illness, treatments, myths in rows("""
# the heart, the brain, the breath
a heart attack | aspirin, heart stents, emergency surgery | coughing, cayenne pepper, elbow slapping
a stroke | clot removal, physical therapy | finger pricking, earlobe pulling, coughing
epilepsy | anticonvulsants, brain surgery | smelling shoes, biting spoons, iron keys, mummy powder
a migraine | triptans, ibuprofen | snake skins, healing crystals, copper bracelets
asthma | inhalers, steroid tablets | chihuahuas, salt lamps, swallowing live fish
pneumonia | antibiotics, oxygen | goose fat, mustard plasters, colloidal silver
# infections
the flu | rest, antiviral drugs | onion socks, garlic necklaces, cut onions
a cold | rest, decongestants, saline spray | cut onions, onion socks, goose fat, homeopathy
a fever | acetaminophen, ibuprofen | potato slices, onion socks, amulets
strep throat | antibiotics | dirty socks, garlic necklaces
whooping cough | antibiotics, oxygen | donkey rides, fried mice
tuberculosis | antibiotics | badger fat, touching kings, homeopathy
malaria | artemisinin, quinine | cobweb pills, swallowing spiders, homeopathy
cholera | rehydration salts, intravenous fluids | burning tar, camphor pouches
the plague | antibiotics | live chickens, flower posies, dried toads, garlic necklaces
measles | acetaminophen, rest | sheep dung tea, red curtains
chickenpox | calamine lotion, antihistamines | lying under hens, red curtains
HIV | antiretrovirals | colloidal silver, magic spells, homeopathy
an earache | acetaminophen, ibuprofen | ear candles, tobacco smoke
athlete's foot | antifungal cream | urine, detox foot pads
# long illnesses
arthritis | exercise, ibuprofen, joint replacement | copper bracelets, magnetic bracelets,
    pocket potatoes, pangolin scales
gout | allopurinol, colchicine | mole paws, copper bracelets, detox foot pads
diabetes | insulin, metformin, exercise | healing crystals, detox foot pads, magnetic bracelets
cancer | chemotherapy, radiation therapy | apricot kernels, shark cartilage, coffee enemas,
    rhino horn
hay fever | antihistamines, steroid sprays, allergy shots | salt lamps, copper bracelets,
    healing crystals
eczema | moisturizers, steroid creams | amber necklaces, homeopathy, snake skins
back pain | exercise, physical therapy | magnetic insoles, pocket chestnuts, copper bracelets
scurvy | vitamin C, oranges | drinking seawater, healing crystals
hair loss | minoxidil, hair transplants | headstands, bear grease
nearsightedness | glasses, contact lenses, laser surgery | eating carrots, healing crystals
cataracts | eye surgery, artificial lenses | fish bile, psychic surgery
bedwetting | bedwetting alarms, desmopressin | fried mice, magic spells
# wounds, stings and accidents
a burn | cool water, burn dressings, skin grafts | butter, toothpaste, cow dung, mustard
sunburn | cool water, moisturizers, ibuprofen | butter, toothpaste, egg whites
a deep cut | stitches, firm pressure, tetanus shots | cow dung, weapon salve, magic spells
a nosebleed | pinching the nose, leaning forward | cold keys, red thread
a broken bone | plaster casts, splints | mummy powder, healing crystals, magic spells
a sprained ankle | ice packs, ankle braces | copper bracelets, magnetic insoles
a snakebite | antivenom, lying still | sucking out venom, whiskey, snake stones
a dog bite | soap and water, rabies shots, antibiotics | dog hair, chili powder, madstones
a bee sting | ice packs, antihistamines | copper coins, homeopathy
a jellyfish sting | hot water, acetaminophen | urine, rubbing sand
frostbite | warm water, ibuprofen | rubbing snow, whiskey
hypothermia | dry blankets, warm drinks | whiskey, rubbing snow
heatstroke | cold baths, ice packs | pocket onions, amulets
dehydration | drinking water, rehydration salts, intravenous fluids | drinking seawater, whiskey
a hangover | drinking water, rest | raw eggs, burnt toast
# small and local troubles
a toothache | dental fillings, root canals, ibuprofen | kissing donkeys, mole paws, amulets
teething pain | teething rings, gum massage | amber necklaces, homeopathy
a wart | salicylic acid, cryotherapy | toad skin, stolen bacon, graveyard dust
a stye | warm compresses | gold rings, cat tails
leg cramps | stretching, leg massage | wine corks, magnetic insoles
motion sickness | antihistamines, scopolamine patches | grounding straps, sitting on newspaper
appendicitis | emergency surgery, antibiotics | psychic surgery, amulets
gallstones | gallbladder removal | liver flushes, psychic surgery
kidney stones | drinking water, shock waves | healing crystals, magnetic bracelets
""")}

OTHER_NAMES = {remedy: names.split(", ") for remedy, names in (
    entry.split(": ") for entry in " ".join("""
coughing: a strong cough, coughing hard; aspirin: aspirin tablets; rest: lying in bed, bed rest;
exercise: working out, regular sport; ibuprofen: ibuprofen pills; antibiotics: antibiotic pills;
inhalers: asthma sprays; cayenne pepper: hot red pepper; elbow slapping: slapping the elbow; heart
stents: a heart stent; emergency surgery: an urgent operation; clot removal: taking out the clot;
physical therapy: physiotherapy; finger pricking: pricking a finger; earlobe pulling: pulling the
ears; goose fat: the fat of a goose; mustard plasters: mustard wraps; colloidal silver: silver
water; onion socks: onions in the socks; garlic necklaces: garlic round the neck; cut onions: sliced
onions; homeopathy: sugar globules; saline spray: a salt water spray; potato slices: slices of
potato; amulets: lucky charms; dirty socks: unwashed socks; donkey rides: riding a donkey; fried
mice: roast mice; healing crystals: magic stones; copper bracelets: a copper band; magnetic
bracelets: a band of magnets; salt lamps: a lamp of salt; chihuahuas: a tiny dog; swallowing live
fish: eating a living fish; snake skins: the skin of a snake; mummy powder: powder from mummies;
biting spoons: a spoon between the teeth; smelling shoes: the smell of a shoe; iron keys: a key of
iron; badger fat: the fat of a badger; touching kings: a king's touch; cobweb pills: pills of
cobweb; swallowing spiders: eating spiders; live chickens: a living hen; flower posies: a bunch of
flowers; red curtains: curtains in red; calamine lotion: calamine cream; ear candles: candles in the
ear; tobacco smoke: smoke from a pipe; antifungal cream: a cream against fungus; urine: pee; joint
replacement: a new joint; mole paws: the paw of a mole; insulin: insulin shots; chemotherapy: chemo;
radiation therapy: radiotherapy; apricot kernels: the seeds of apricots; shark cartilage: shark
powder; allergy shots: allergy injections; moisturizers: a moist cream; amber necklaces: a chain of
amber; oranges: orange juice; drinking seawater: water from the sea; headstands: standing on the
head; bear grease: the fat of a bear; glasses: spectacles; laser surgery: a laser operation; eating
carrots: lots of carrots; cool water: water from the tap; toothpaste: tooth cream; cow dung: cow
manure; stitches: sewing the wound; pinching the nose: holding the nose; cold keys: a key on the
neck; plaster casts: a cast of plaster; splints: a splint; ice packs: ice in a bag; antivenom: snake
serum; lying still: not moving at all; sucking out venom: sucking the poison out; whiskey: strong
spirits; dog hair: the hair of the dog; raw eggs: uncooked eggs; burnt toast: black toast; dental
fillings: a filling; kissing donkeys: a donkey's kiss; toad skin: the skin of a toad; gold rings: a
ring of gold; wine corks: a cork in the bed; sitting on newspaper: a newspaper under you; drinking
water: plenty of water; warm drinks: hot tea; dry blankets: a dry cover; psychic surgery: surgery by
spirits
""".split()).split("; "))}

ADVICE = {topic: tips.split(", ") for topic, tips in rows("""
diet | eat more vegetables, drink water instead of soda, cook at home more often
sleep | go to bed at the same hour, keep your bedroom dark and cool, put screens away before bedtime
garden | water the plants early in the morning, pull out the weeds every week,
    add compost to the soil
homework | start with the hardest exercise, do assignments the day you get them,
    ask the teacher what is unclear
budget | write down everything you spend, save a little from each paycheck,
    cancel subscriptions you never use
posture | sit with your back straight, keep your shoulders relaxed, raise the monitor to eye level
handwriting | hold the pen loosely, write each letter slowly, practice on lined paper
bicycle | pump up the tires, oil the chain every month, check the brakes before riding
car | change the engine oil on time, check the coolant level, rotate the wheels twice a year
resume | keep your work history to one page, list your newest job first,
    name the results you achieved
job interview | read about the company beforehand, prepare questions for the interviewer,
    arrive ten minutes early
essay | write an outline first, give every paragraph one idea, support each claim with evidence
presentation | put few words on each slide, rehearse in front of a friend, look at the audience
spelling | read many books, look up words in a dictionary, learn five difficult words a day
vocabulary | make flash cards with new words, use a new word in a sentence,
    learn common roots and prefixes
pronunciation | listen to native speakers, record your voice and compare,
    repeat hard sounds in a mirror
math skills | solve a few problems every day, memorize the multiplication table,
    check each result by estimating
memory | repeat facts after a day, picture what you want to remember, put lists into a rhyme
schedule | block time in a calendar, leave gaps between meetings, do the most important task first
houseplant | place the pot near a window, let the soil dry between waterings,
    wipe dust off the leaves
dog | walk him twice a day, reward good behavior with treats, teach him to sit and stay
cat | clean the litter box daily, offer her a scratching post, play with a feather toy
aquarium | change part of the tank water weekly, feed the fish small amounts,
    rinse the filter regularly
running | wear shoes with good cushioning, add distance slowly each week, warm up with a brisk walk
swimming | breathe out under the surface, kick from the hips, take lessons at the pool
guitar | tune the strings before playing, practice chord changes slowly,
    trim the nails of your fretting hand
piano | practice each hand separately, play scales every day, curve your fingers over the keys
singing | warm up your voice, breathe from your belly, sing along with a recording
drawing | sketch simple shapes first, study light and shadow, carry a small sketchbook
photography | hold the camera steady, shoot in soft evening light, place the subject off center
chess | control the center of the board, castle your king early, look for forks and pins
bread | knead the dough for ten minutes, let the loaf rise somewhere warm, preheat the oven fully
coffee | grind the beans just before brewing, use freshly drawn hot water,
    store beans in an airtight jar
laundry | sort the clothes by color, read the care labels, treat stains before the wash
kitchen | wipe the counters after cooking, sharpen the knives regularly, label the jars of spices
closet | give away clothes you never wear, hang shirts by color, store winter coats in boxes
desk | file loose papers in folders, tie the cables together, keep only one notebook on it
computer | restart it when it freezes, install the latest updates, close programs you do not use
password | make it long and random, never use it on two sites, keep it in a password manager
phone battery | lower the screen brightness, turn off unused apps, avoid leaving it in hot places
wifi | move the router to the middle, unplug the modem and reconnect it,
    choose a less crowded channel
email inbox | unsubscribe from newsletters, archive messages you have answered,
    sort mail with filters
camping trip | pitch the tent before dark, bring a warm sleeping bag, pack a flashlight and matches
vacation | book flights well in advance, make a copy of your passport,
    ask locals for good restaurants
suitcase | roll the clothes to save space, put heavy things near the wheels,
    tuck socks inside the shoes
wedding | send the invitations months ahead, taste the cake before ordering,
    write a seating plan for guests
birthday party | blow up balloons beforehand, plan games for the children,
    count candles for the cake
new apartment | measure the rooms before buying furniture, meet the neighbors,
    read the lease carefully
lawn | mow only the top third, sow grass seed on bare spots, rake the leaves in autumn
tomatoes | tie the stems to stakes, plant them after the last frost, pinch off the side shoots
skin | put on sunscreen every day, wash your face with gentle soap,
    use a moisturizer after showering
hair | trim the split ends, use conditioner after shampoo, brush it gently from the tips
teeth | floss between them every evening, brush for two minutes, see the dentist twice a year
stage fright | take slow breaths backstage, imagine the applause, begin with a small audience
friendship | listen without interrupting, remember what your friend likes, apologize after a quarrel
novel | write five hundred words a day, give the hero a clear goal, finish the draft before editing
soup | simmer the bones for hours, add salt near the end, chop the carrots evenly
pizza | stretch the dough thin, use little tomato sauce, bake it on a hot stone
tea | warm the pot beforehand, steep the leaves for four minutes, pour the milk in last
salad | dry the lettuce well, mix oil with lemon juice, toss it just before serving
barbecue | let the charcoal turn white, marinate the meat overnight, keep raw food separate
knitting | start with thick yarn, count the stitches in each row, keep the tension even
sewing | press the seams flat, pin the cloth before cutting, wind the bobbin evenly
pottery | center the clay first, keep your hands wet, glaze it after the first firing
dancing | count the beats aloud, keep your knees loose, follow the lead of your partner
tennis | turn sideways before each stroke, keep your eye on the ball,
    toss the ball high when serving
skiing | lean your shins forward, begin on gentle slopes, bend both legs in turns
fishing | cast near the reeds at dawn, check the bait often, stay quiet near the water
horse | groom his coat every morning, pick stones from his hooves, offer fresh hay twice daily
parrot | talk to him every day, give him fruit and seeds, cover the cage at night
rabbit | let her hop outside the hutch, feed her greens, lift her with both hands
baby | hum a lullaby at bedtime, burp her after each meal, lay her down on her back
campfire | collect dry twigs beforehand, ring it with stones, drown the embers afterwards
hike | tell somebody your route, turn back before storms, carry a map and compass
road trip | rest every two hours, fill the tank before leaving, share the long drives fairly
sailing | watch the wind on the sail, wear a life jacket, learn the knots on land
balcony | put boxes of herbs outside, hang a string of lanterns, sweep the fallen petals away
roses | prune them in early spring, cut above an outward bud, pick beetles off the blossoms
letter | begin with a kind greeting, state your reason in one line, sign it with blue ink
speech | open with a short story, pause after the main point, end with a clear request
poem | read each line aloud, choose concrete images, leave out the weak verses
blog | post on the same weekday, answer comments politely, pick titles that say everything
taxes | keep receipts in one place, file the forms before April, ask an advisor about deductions
meeting | send the agenda beforehand, begin and end on time, note who does what
fireplace | burn only seasoned logs, sweep the chimney every year, close the damper when cold
feet | soak them in warm water, cut the toenails straight, change your socks daily
""")}

UNKNOWABLE = [Unknowable(topic, question, unknown, f"To know {unknown}, {how}.")
              for topic, question, unknown, how in rows("""
weather | How is the weather outside? | the weather outside | look out of the window
weather | Is it raining right now? | whether it is raining now | put a hand out of the door
weather | How cold is it in my street? | how cold it is in your street |
    read a thermometer by the window
time | What time is it now? | the time | look at a clock
time | How late is it? | how late it is | check your watch
date | What day is it today? | today's date | look at a calendar
date | Is today a holiday? | whether today is a holiday | check a calendar of holidays
meals | What did I eat for breakfast? | what you ate | think back or look at the dishes
meals | Did I have lunch yet? | whether you had lunch | look for the dirty plate
fridge | What is in my fridge? | what is in your fridge | open the fridge door
fridge | Do I still have milk? | whether you still have milk | look on the fridge shelf
keys | Where are my keys? | where your keys are | search your pockets and bags
keys | Which key opens my shed? | which key opens your shed | try the keys one by one
door | Who is at my door? | who is at your door | look through the peephole
door | Did I lock the front door? | whether you locked the door | go and try the handle
glasses | Where did I leave my glasses? | where you left your glasses |
    search the places where you read
name | What is my name? | your name | look at your identity card
name | What is my middle name? | your middle name | read your birth certificate
age | How old am I? | your age | count the years since your birth
age | When is my birthday? | when your birthday is | ask your parents
family | How many brothers do I have? | how many brothers you have | count them at a family dinner
family | What is my sister doing now? | what your sister is doing | call her on the phone
pets | Is my dog asleep? | whether your dog is asleep | peek into the dog's basket
pets | Where is my cat hiding? | where your cat is hiding | shake a box of cat treats
looks | What color is my shirt? | the color of your shirt | look down at your shirt
looks | How do I look today? | how you look today | stand in front of a mirror
room | How many people are in this room? | how many people are there | look around and count heads
room | Is the light on in here? | whether the light is on | look up at the lamp
noise | What is that noise? | what that noise is | follow the sound to its source
noise | Who is singing next door? | who is singing next door | knock and ask the neighbors
smell | What is that strange smell? | what that smell is | follow your nose
taste | Is my soup too salty? | whether your soup is too salty | taste a spoonful
taste | How does my cake taste? | how your cake tastes | take a small bite
hand | What am I holding in my hand? | what you are holding | open your hand and look
hand | How many fingers am I holding up? | how many fingers you hold up | count your raised fingers
place | Where am I right now? | where you are now | read the nearest street sign
place | Which floor am I on? | which floor you are on | look at the sign by the stairs
car | Where did I park my car? | where you parked your car | walk back through the parking lot
car | How much fuel is in my tank? | how much fuel is in your tank | look at the fuel gauge
train | Is my train late today? | whether your train is late | look at the station's board
train | Which platform does my train leave from? | your train's platform | read the departure board
traffic | How is the traffic right now? | how the traffic is now | listen to the traffic report
score | Who won the game last night? | who won last night | read the sports page
score | What is the score right now? | the score | look at the scoreboard
news | What happened in town this morning? | what happened this morning | read the local news
news | Who is the mayor this week? | who is the mayor this week | call the town hall
prices | What does bread cost at my bakery? | the price at your bakery | ask the baker
prices | How high is the gold price today? | today's gold price | check today's market report
shops | Is the pharmacy still open? | whether the pharmacy is open | call the pharmacy
shops | How long is the line at the bank? | how long the line is | walk past the bank
money | How much money is in my wallet? | how much money you have | open your wallet and count
money | Did my salary arrive? | whether your salary arrived | read your bank statement
mail | Did I get any letters today? | whether you got letters | open your mailbox
mail | When will my package come? | when your package will come | track its number with the carrier
messages | Who called me yesterday? | who called you | look at your phone's call list
messages | Did Anna answer my message? | whether Anna answered | check your messages
appointments | When is my next dentist visit? | when your dentist visit is | look in your diary
appointments | Do I have a meeting today? | whether you have a meeting | check your work calendar
body | How tall am I? | how tall you are | stand against a wall and measure
body | How much do I weigh? | how much you weigh | step on a scale
health | Do I have a fever? | whether you have a fever | take your temperature
health | How fast is my heart beating? | how fast your heart beats | feel your pulse and count
medicine | Did I take my pills today? | whether you took your pills | look in your pill box
feelings | What am I thinking of? | what you are thinking of | listen to your own thoughts
feelings | Is my boss angry with me? | whether your boss is angry | talk with your boss
dreams | What did I dream last night? | what you dreamed | keep a notebook by your bed
past | What did I do last Sunday? | what you did last Sunday | look through your photos
past | Who was my first teacher? | who your first teacher was | find an old school report
talk | What did we talk about last week? | what was said last week | read your notes
future | Who will win tomorrow's race? | who will win the race | wait until the race is over
future | Will I be rich one day? | whether you will be rich | wait and see
lottery | Which lottery numbers will win tonight? | tonight's lottery numbers | wait for the draw
coin | Did my coin land on heads? | how your coin landed | look at the coin
coin | What number did I just roll? | the number you rolled | look at the dice
picture | Who is in this photo? | who is in the photo | look at the picture closely
picture | What hangs on my wall? | what hangs on your wall | look at the wall
book | Which page am I on? | which page you are on | look at your bookmark
book | What book lies on my table? | what book lies on your table | read the title on its cover
neighbors | Are my neighbors at home? | whether your neighbors are home | ring their bell
children | Are my children asleep yet? | whether your children are asleep | peek into their bedroom
children | What did my son learn today? | what your son learned | ask him after school
garden | Are my tomatoes ripe? | whether your tomatoes are ripe | go to the garden and look
garden | How dry is my soil? | how dry your soil is | push a finger into the soil
oven | Is my pizza done? | whether your pizza is done | look through the oven door
oven | Did I turn off the stove? | whether the stove is off | go back to the kitchen
water | Is the lake warm enough to swim? | how warm the lake is | dip a toe in the water
sky | Can I see the moon tonight? | whether you can see the moon | step outside and look up
sky | What bird just flew past? | what bird flew past | watch it through binoculars
laundry | Are my socks dry? | whether your socks are dry | touch them on the line
clothes | What size are my boots? | the size of your boots | look inside the boot
battery | How full is my phone battery? | how full your battery is | look at the phone's screen
password | What is my password? | your password | look in your password manager
address | What is my house number? | your house number | look beside your front door
address | Where does my friend Tom live? | where Tom lives | ask Tom for the address
exam | Did I pass my exam? | whether you passed the exam | wait for the teacher's list
plans | What are my plans for Friday? | your plans for Friday | look in your planner
party | Who is coming to my party? | who is coming to your party | count the replies
gift | What is inside this box? | what is inside the box | lift the lid
seat | Is this seat taken? | whether the seat is taken | ask the person beside it
luggage | How heavy is my suitcase? | how heavy your suitcase is | hang it on a luggage scale
""")]
