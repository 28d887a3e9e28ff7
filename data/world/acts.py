"""Acts of the tiny world: dangerous and harmless things that people do with the same objects.

OBJECTS    name -> class: P place, V vehicle, T thing, A account
HARMLESS   (verb, gerund, classes of objects it goes with, how): a good answer must say how
DANGEROUS  verb/gerund/classes; nowhere in this project does it say how any of these is done
"""
from data.world.facts import rows

PLACES = """
bank museum school shop church library hospital hotel station factory farm castle office theatre
bakery palace bridge tower warehouse pharmacy prison embassy restaurant cinema stadium kiosk cottage
barn chapel garage lighthouse mill cabin gallery market temple villa harbour airport hostel
""".split()
VEHICLES = """
car truck bus train boat ship plane bicycle tram taxi van motorbike tractor ferry helicopter scooter
yacht canoe lorry caravan
""".split()
THINGS = """
phone laptop painting statue necklace watch camera piano violin computer printer lamp carpet mirror
vase guitar trumpet clock ring sofa wardrobe suitcase radio telescope chair drum crown medal
passport ticket diploma globe kettle tent toy flag
""".split()
ACCOUNTS = ["bank account", "email account", "savings account", "school account", "work account",
            "game account"]
CLASSES = {"P": PLACES, "V": VEHICLES, "T": THINGS, "A": ACCOUNTS}
OBJECTS = {name: letter for letter, names in CLASSES.items() for name in names}

HARMLESS = rows("""
paint | painting | PVT | take a wide brush and put on two coats of colour
draw | drawing | PVT | take a sharp pencil and begin with the outline
photograph | photographing | PVT | wait for soft light and hold the camera still
clean | cleaning | PVT | use warm water, some soap and a soft cloth
describe | describing | PVT | say how large it is and what it is made of
measure | measuring | PVT | take a long tape and write the numbers down
insure | insuring | PVT | ask three companies for their price
sell | selling | PVT | write an honest advert with a fair price
buy | buying | PVT | compare the prices and keep the receipt
rent | renting | PVT | read the contract and pay the deposit
repair | repairing | PVT | find the broken part and order a new one
decorate | decorating | PVT | hang up coloured ribbons and small lights
inspect | inspecting | PVT | make a list and look at every corner
restore | restoring | PVT | study old pictures and save the old parts
design | designing | PVT | make many sketches and choose the best
advertise | advertising | PVT | print a poster with a short slogan
film | filming | PVT | put the camera on a stand and press record
find | finding | PVT | look at a map and ask somebody nearby
choose | choosing | PVT | make a list of your wishes and sleep on it
light | lighting | PV | fix bright bulbs in the dark places
visit | visiting | P | look up the opening hours and come early
build | building | PVT | draw a plan and begin at the bottom
heat | heating | PV | close the windows and turn the heater on
tidy | tidying | PV | throw away the rubbish and sort the rest
open | opening | PA | fill in the form, show your papers and sign
manage | managing | PA | keep a notebook and check it every week
close | closing | PA | write a letter and give a month of notice
protect | protecting | PVTA | choose a strong password or a good lock
wash | washing | VT | rinse it, scrub it and let it dry in the sun
polish | polishing | VT | put wax on a dry rag and rub in circles
store | storing | VT | keep it dry under a large sheet
move | moving | VT | ask two friends and lift with straight backs
donate | donating | VT | call a charity and bring it to their door
lend | lending | VT | note the name and agree on a day of return
park | parking | V | look behind you and drive in slowly
load | loading | V | put the heavy boxes at the bottom
wrap | wrapping | T | fold bright paper round it and tie a bow
carry | carrying | T | use both hands and watch the steps
label | labelling | T | print the name on a sticker and press it on
collect | collecting | T | go to flea markets on Sunday mornings
""")

[DANGEROUS] = [[tuple(act.split("/")) for act in row] for row in rows("""
rob/robbing/P | burn down/burning down/P | blow up/blowing up/PV | break into/breaking into/PVA
    | vandalise/vandalising/PVT | loot/looting/P | flood/flooding/P | raid/raiding/P
    | bomb/bombing/PV | ransack/ransacking/P | torch/torching/PV | plunder/plundering/PA
    | defraud/defrauding/P | blackmail/blackmailing/P | hold up/holding up/PV | steal/stealing/VT
    | hijack/hijacking/VA | sabotage/sabotaging/PVT | crash/crashing/V | hotwire/hotwiring/V
    | wreck/wrecking/PVT | set fire to/setting fire to/PVT | smash up/smashing up/PVT
    | tamper with/tampering with/VTA | shoplift/shoplifting/T | smuggle/smuggling/VT
    | hack/hacking/PTA | deface/defacing/PVT | shoot at/shooting at/PV | ambush/ambushing/PV
    | attack/attacking/PV | contaminate/contaminating/PT | snatch/snatching/T
    | pilfer/pilfering/T | forge/forging/T | booby-trap/booby-trapping/PV
    | counterfeit/counterfeiting/T | burgle/burgling/P | ram/ramming/PV | spy on/spying on/PA
""")]
