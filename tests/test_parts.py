"""Tests of parts of assignments that no other file holds: by hand, against a plain version, and
within a time that a right but slow solution misses."""
import itertools
import math
import os
import random
import tracemalloc

import numpy as np
import pytest
import torch

import bpe
import kernels
import model as M
import train_ppo
import train_pretrain
import train_rm
import train_sft
from bpe import train_bpe
from conftest import within
from data import clean, world
from kernels.attention import attention_backward_numpy, attention_numpy
from kernels.softmax import log_prob_backward_numpy, softmax_backward_numpy, softmax_numpy
from train_ppo import gae, ppo_loss, score_minus_kl
from test_train_ppo import ppo, rollout

CONFIG = M.GPTConfig(vocab_size=50, block_size=16, n_layer=2, n_head=2, n_embd=8)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ----------------------------------------------------------------------------------------- 1 bpe.py
def test_tokens_of_a_piece_worked_by_hand():
    ranks = {(b"w", b"e"): 0, (b"l", b"o"): 1, (b"lo", b"we"): 2}
    assert bpe.merge_piece(b"lower", ranks) == [b"lowe", b"r"]
    assert bpe.merge_piece(b"", ranks) == [] and bpe.merge_piece(b"x", ranks) == [b"x"]


def test_of_two_places_the_left_one_merges_first_and_the_earliest_merge_before_all():
    assert bpe.merge_piece(b"aaa", {(b"a", b"a"): 0}) == [b"aa", b"a"]
    ranks = {(b"b", b"c"): 0, (b"a", b"b"): 1, (b"bc", b"d"): 2}
    assert bpe.merge_piece(b"abcd", ranks) == [b"a", b"bcd"]


def test_a_piece_is_cut_as_by_every_merge_in_the_order_learnt():
    rng = random.Random(5)
    for _ in range(100):
        known, merges = [b"a", b"b"], []
        for _ in range(8):
            pair = rng.choice(known), rng.choice(known)
            if pair[0] + pair[1] not in known:
                merges.append(pair)
                known.append(pair[0] + pair[1])
        piece = bytes(rng.choices(b"ab", k=40))
        row = tuple(bytes([byte]) for byte in piece)
        for pair in merges:
            row = bpe.merge_row(row, pair)
        ranks = {pair: rank for rank, pair in enumerate(merges)}
        assert bpe.merge_piece(piece, ranks) == list(row)


def test_plain_training_stops_where_no_pair_is_left_and_at_the_size():
    assert bpe.plain_merges({b"ab": 3}, 300) == [(b"a", b"b")]
    assert bpe.plain_merges({b"abab": 3}, 257) == [(b"a", b"b")]
    assert bpe.plain_merges({b"ab": 3}, 256) == [] == bpe.plain_merges({}, 300)


def test_places_that_overlap_are_left_out_in_time():
    places = np.arange(60_000)
    assert bpe.without_overlaps(places, 2).tolist() == list(range(0, 60_000, 2))
    within(1, bpe.without_overlaps, places, 2)


def test_a_long_piece_is_cut_in_time():
    ranks = {(b"a", b"b"): 0, (b"ab", b"ab"): 1, (b"abab", b"abab"): 2}
    piece = b"ab" * 40_000
    assert bpe.merge_piece(piece, ranks) == [b"ab" * 4] * 10_000
    within(3, bpe.merge_piece, piece, ranks)


# --------------------------------------------------------------------------------------- 2 model.py
@torch.no_grad()
def test_a_block_that_adds_nothing_hands_its_input_on():
    block = M.Block(CONFIG, 0)
    for layer in (block.attention.out, block.down):
        layer.weight.zero_()
        layer.bias.zero_()
    x = 9 * draw(2, 5, 8)
    assert torch.equal(block(x), x)             # never normalised itself
    block.down.bias.fill_(1.0)
    torch.testing.assert_close(block(x), x + 1)
    block.attention.out.bias.fill_(1.0)
    torch.testing.assert_close(block(x), x + 2)


@torch.no_grad()
def test_the_second_sub_layer_reads_what_the_first_has_added():
    torch.manual_seed(0)
    block, x = M.Block(CONFIG, 0), draw(1, 4, 8)
    middle = x + block.attention(block.norm1(x))
    wanted = middle + block.down(torch.nn.functional.gelu(block.up(block.norm2(middle))))
    torch.testing.assert_close(block(x), wanted)


@torch.no_grad()
def test_a_head_mixes_its_own_channels_and_one_token_attends_to_itself_alone():
    attention = M.Attention(CONFIG, 0)
    attention.qkv.weight.zero_()
    attention.qkv.bias.zero_()
    attention.qkv.weight[16:].copy_(torch.eye(8))       # v is x; q and k are 0: all weigh alike
    attention.out.weight.copy_(torch.eye(8))
    attention.out.bias.zero_()
    x = draw(2, 5, 8)
    torch.testing.assert_close(attention(x[:, :1]), x[:, :1])
    means = x.cumsum(1) / torch.arange(1, 6)[:, None]
    torch.testing.assert_close(attention(x), means)
    attention.qkv.weight[:4, :4] = 50 * torch.eye(4)    # the first head looks for likeness
    attention.qkv.weight[8:12, :4] = 50 * torch.eye(4)
    torch.testing.assert_close(attention(x)[..., 4:], means[..., 4:])
    assert not torch.allclose(attention(x)[..., :4], means[..., :4], atol=0.01)


@torch.no_grad()
def test_with_a_cache_a_short_row_does_not_attend_to_what_stands_behind_it():
    attention, x = M.Attention(CONFIG, 0), draw(2, 4, 8)
    cache = M.KVCache(CONFIG, 2, 9, x)
    attention(x[:, :3], cache.reserve(3))
    cache.lengths = torch.tensor([1, 3])        # two of the first row's three were padding
    found = attention(x[:, 3:], cache.reserve(1))
    short = torch.cat([x[:1, :1], x[:1, 3:]], 1)
    torch.testing.assert_close(found[0, -1], attention(short)[0, -1])
    torch.testing.assert_close(found[1, -1], attention(x[1:])[0, -1])


def test_new_tokens_stand_behind_those_of_each_row():
    cache = M.KVCache(CONFIG, 2, 9, torch.zeros(1))
    places = cache.reserve(3)
    assert places.positions.tolist() == [[0, 1, 2]] * 2
    assert (places.longest, places.lengths) == (3, None) and cache.lengths.tolist() == [3, 3]
    cache.lengths = torch.tensor([1, 3])        # the first row's padding is forgotten
    places = cache.reserve(2)
    assert places.positions.tolist() == [[1, 2], [3, 4]] and places.longest == 5
    assert places.lengths.tolist() == cache.lengths.tolist() == [3, 5]
    assert places.cache is cache


def test_a_layer_s_keys_and_values_are_kept_at_their_places_and_come_back_with_the_earlier_ones():
    cache = M.KVCache(CONFIG, 2, 9, torch.zeros(1))
    k, v = draw(2, 2, 3, 4), draw(2, 2, 3, 4, seed=1)
    all_k, all_v, lengths = cache.reserve(3).store(1, k, v)
    assert torch.equal(all_k, k) and torch.equal(all_v, v) and lengths is None
    cache.lengths = torch.tensor([1, 3])
    places, new = cache.reserve(1), draw(2, 2, 1, 4, seed=2)
    all_k, all_v, lengths = places.store(1, new, -new)
    assert all_k.shape == (2, 2, 4, 4) and lengths.tolist() == [2, 4]
    assert torch.equal(all_k[0, :, :2], torch.cat([k[0, :, :1], new[0]], 1))
    assert torch.equal(all_v[1], torch.cat([v[1], -new[1]], 1))
    assert not cache.k[0].any()                 # the other layer's are untouched


# ---------------------------------------------------------------------------- 3 optimizer, cleaning
def test_adam_s_first_step_is_the_rate_and_a_weight_without_a_gradient_stays():
    moved, still = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    optimizer = M.AdamW([{"params": [moved, still], "peak": 0.1, "weight_decay": 0.5}])
    moved.grad = torch.tensor([3.0, -0.01])
    optimizer.step(0.5)                         # rate 0.05, decay 0.025 of the weight
    assert moved.tolist() == pytest.approx([0.975 - 0.05, -1.95 + 0.05], abs=1e-5)
    assert still.tolist() == [1.0, -2.0]


def test_the_second_step_of_adam_worked_by_hand():
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = M.AdamW([{"params": [p], "peak": 1.0, "weight_decay": 0.0}], betas=(0.5, 0.75))
    for gradient in (1.0, -1.0):
        p.grad = torch.tensor([gradient])
        optimizer.step()
    # m = 0.5 then -0.25, over 1 - 0.25; v = 0.25 then 0.4375, over 1 - 0.5625: 1
    assert p.item() == pytest.approx(-1 + 1 / 3, abs=1e-5)


def rubbish(text):
    return clean.repeated_lines(text, text.split())


def test_a_text_is_rubbish_where_lines_come_again_and_words_too():
    assert rubbish("This line is said again and again.\n" * 12)
    assert not rubbish("This line is said again and again.\n" * 2)      # a half: not more
    assert not rubbish("One two three.\nFour five six.\nSeven eight nine.\n" * 1)


def test_a_refrain_and_short_lines_are_no_rubbish():
    refrain = "and so we sing of all the ships that sail these seven seas once more\n"
    assert not rubbish(refrain * 4 + "but nobody ever told us where they might have gone")
    orders = itertools.permutations(["ships", "sail", "the", "sea"])
    assert not rubbish("\n".join(map(" ".join, orders)))        # no line twice
    assert not rubbish("Yes.\nNo way.\n" * 20)          # lines of two words count nothing
    assert not rubbish("")


def test_a_line_counts_as_often_as_it_stood_before_and_without_its_indentation():
    lines = ["  the same words here", "the same words here  "] * 6
    assert rubbish("\n".join(lines))


def test_the_copying_head_is_found_and_a_head_that_looks_at_the_token_itself_is_not():
    ids, maps = [5, 6, 7, 5, 6], torch.zeros(2, 2, 5, 5)
    maps[1, 0, 3, 1] = maps[1, 0, 4, 2] = 0.9           # at what followed the last 5, the last 6
    maps[0, 1, 3, 0] = maps[0, 1, 4, 1] = 1.0           # at the 5 and the 6 themselves
    maps[0, 0, 2, 1] = 1.0                              # 7 stood nowhere before
    assert train_pretrain.copying_head(maps, ids) == (1, 0)


# ------------------------------------------------------------------------ 4 template, mask, replay
@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["What is the capital of India? New Delhi. Take a pencil."] * 3, 290,
                     M.SPECIAL_TOKENS)


def test_a_turn_is_user_question_assistant_answer_end(tokenizer):
    special, words = tokenizer.special_tokens, tokenizer.encode_ordinary
    asked = [special[M.USER], *words("Who?"), special[M.ASSISTANT]]
    whole = [*asked, *words("I."), special[M.END]]
    assert M.encode_chat(tokenizer, [("Who?", "I.")]) == whole
    assert M.encode_chat(tokenizer, [("Who?", None)]) == asked
    assert M.encode_chat(tokenizer, [("Who?", "I."), ("Who?", None)]) == whole + asked
    assert M.encode_chat(tokenizer, [("Who?", "")]) == [*asked, special[M.END]]
    assert M.encode_chat(tokenizer, []) == []


def test_what_is_asked_has_a_mask_of_zero_and_the_answer_with_its_end_of_one(tokenizer):
    for turns in ([("What is it?", "New Delhi.")], [("What?", "A pencil."), ("And?", "India.")]):
        ids, mask = train_sft.encode_dialogue(tokenizer, turns)
        assert ids == M.encode_chat(tokenizer, turns) and set(mask) == {0, 1}
        assert len(mask) == len(ids)
        counted = [i for i, m in zip(ids, mask) if m]
        assert tokenizer.decode(counted) == "".join(answer + M.END for _, answer in turns)


def test_an_answer_of_nothing_still_has_its_end_and_no_turn_gives_nothing(tokenizer):
    ids, mask = train_sft.encode_dialogue(tokenizer, [("What is it?", "")])
    assert mask == [0] * (len(ids) - 1) + [1]
    assert train_sft.encode_dialogue(tokenizer, []) == ([], [])


# ----------------------------------------------------------------------------------- 5 reward model
def test_an_answer_whose_rank_is_nan_is_in_no_pair_and_pulls_at_no_score():
    scores = torch.zeros(1, 4, requires_grad=True)
    ranks = torch.tensor([[1, 2, math.nan, math.nan]])
    loss = train_rm.ranking_loss(scores, ranks)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert scores.grad.tolist() == [[-0.5, 0.5, 0, 0]]


def test_many_answers_are_ranked_in_time():
    scores = draw(64, 40)
    wanted = [torch.nn.functional.softplus(row[j] - row[i]) for row in scores[:1]
              for i in range(40) for j in range(i + 1, 40)]
    assert train_rm.ranking_loss(scores[:1]).item() == pytest.approx(float(sum(wanted)) / 780, 1e-4)
    within(1, train_rm.ranking_loss, scores)


def test_foreign_answers_are_as_many_as_asked_for_and_keep_their_ends(monkeypatch):
    drawn = world.draw_prompts("rm", 12, random.Random(0))
    monkeypatch.setattr(train_rm, "ask", lambda model, tokenizer, questions, **more: [
        (str(i // 2), i // 2 % 2 == 0) for i in range(len(questions))])
    for foreign in (0, 1, 4):
        config = train_rm.Config(sampled=2, foreign=foreign)
        rows = train_rm.gather_answers(None, None, drawn, config, random.Random(0), None)
        for i, row in enumerate(rows):
            assert [text for text, _ in row[:2]] == [str(i)] * 2 and len(row) == 2 + foreign
            assert all(text != str(i) and ended == (int(text) % 2 == 0) for text, ended in row[2:])


def test_calibration_worked_by_hand():
    # margins log 3: sure 3/4 of the pair in ranks' order or 1/4 of the other way
    log3, ranks = math.log(3), np.array([[1, 2]] * 4)
    scores = np.array([[log3, 0]] * 3 + [[0, log3]])    # right three times in four
    assert train_rm.calibration_error(scores, ranks) == pytest.approx(0, abs=1e-6)
    sure = np.array([[log3, 0]] * 4)                    # always right, and only 3/4 sure
    assert train_rm.calibration_error(sure, ranks) == pytest.approx(0.25)
    assert train_rm.calibration_error(sure, np.array([[1, 1]] * 3 + [[1, 2]])) == \
        pytest.approx(0.25)                             # equal ranks are no pair
    assert train_rm.calibration_error(sure, np.array([[1, math.nan]] * 3 + [[1, 2]])) == \
        pytest.approx(0.25)                             # nor is what has none


def test_the_surest_pairs_fall_into_the_last_bin():
    assert train_rm.calibration_error(np.array([[99.0, 0]]), np.array([[1, 2]])) == \
        pytest.approx(0, abs=1e-6)
    assert train_rm.calibration_error(np.array([[0, 99.0]]), np.array([[1, 2]])) == \
        pytest.approx(1)


# ------------------------------------------------------------------------------------------ 6 PPO
def test_answers_of_one_batch_do_not_see_one_another():
    rewards, values, mask = draw(3, 5), draw(3, 5, seed=1), torch.ones(3, 5)
    mask[0, 3:] = mask[1, 4:] = 0
    for i, n in enumerate((3, 4, 5)):
        returns = gae(rewards * mask, values * mask, mask, 1.0, 1.0)[1][i]
        assert returns[0].item() == pytest.approx(rewards[i, :n].sum().item(), abs=1e-5)
    together = gae(rewards * mask, values * mask, mask, 0.9, 0.8)
    for i in range(3):
        alone = gae(rewards[i:i + 1] * mask[i:i + 1], values[i:i + 1] * mask[i:i + 1],
                    mask[i:i + 1], 0.9, 0.8)
        for one, all_ in zip(alone, together):
            torch.testing.assert_close(one[0], all_[i])


def test_advantages_of_many_answers_in_time():
    rewards, values, ones = draw(512, 96), draw(512, 96, seed=1), torch.ones(512, 96)
    to_come = rewards.flip(1).cumsum(1).flip(1)
    advantages, _ = gae(rewards, values, ones, 1.0, 1.0)
    torch.testing.assert_close(advantages, to_come - values, atol=1e-3, rtol=1e-3)
    within(0.5, gae, rewards, values, ones)


def test_what_is_outside_the_mask_earns_and_pays_nothing():
    r = rollout(log_probs=torch.full((2, 3), -1.0), ref_log_probs=torch.full((2, 3), -9.0))
    assert (score_minus_kl(r, 0.5) * (1 - r.mask)).abs().sum() == 0


def test_padding_changes_neither_loss():
    r = rollout(advantages=torch.tensor([[0.0, 1, -1], [2, 0, 0]]))
    moved, values = r.log_probs + 0.1 * draw(2, 3), draw(2, 3, seed=1)
    other = values + 100 * (1 - r.mask)
    one, two = ppo_loss(moved, values, r), ppo_loss(moved + (1 - r.mask), other, r)
    assert one[0].item() == pytest.approx(two[0].item())
    assert one[1].item() == pytest.approx(two[1].item())


def test_the_ratio_leaves_one_once_the_policy_has_moved_from_the_one_that_sampled(
        small, monkeypatch):
    ratios, loss = [], train_ppo.ppo_loss

    def watched(*arguments):
        result = loss(*arguments)
        ratios.append(result[2]["ratio"])
        return result

    monkeypatch.setattr(train_ppo, "ppo_loss", watched)
    ppo(small, learning_rate=0.1, minibatch=4, episodes=4, ppo_epochs=2)
    assert len(ratios) == 2 and ratios[0] == pytest.approx(1, abs=1e-4)
    assert abs(ratios[1] - 1) > 0.001


# ---------------------------------------------------------------------------------------- 7 kernels
def test_numpy_softmax_of_logits_log_3_apart_is_a_quarter_and_three_quarters():
    assert softmax_numpy(np.array([[0, math.log(3)]])) == pytest.approx(np.array([[0.25, 0.75]]))


def test_numpy_softmax_of_thousands_does_not_overflow_and_gives_minus_infinity_nothing():
    x = np.array([[1000, 1000, -np.inf], [-1000, -1000, -np.inf]])
    assert softmax_numpy(x).tolist() == [[0.5, 0.5, 0.0]] * 2


def test_numpy_gradient_of_softmax_is_pytorch_s_own():
    x, dy = draw(3, 5).double().requires_grad_(), draw(3, 5, seed=1).double()
    y = x.softmax(-1)
    wanted, = torch.autograd.grad(y, x, dy)
    found = softmax_backward_numpy(y.detach().numpy(), dy.numpy())
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-12)


def test_numpy_gradient_of_a_log_prob_is_pytorch_s_own():
    x, dy = draw(3, 5).double().requires_grad_(), draw(3).double()
    targets = torch.tensor([0, 4, 2])
    wanted, = torch.autograd.grad(x.log_softmax(-1)[torch.arange(3), targets], x, dy)
    given = [t.detach().numpy() for t in (x, targets, x.logsumexp(-1), dy)]
    np.testing.assert_allclose(log_prob_backward_numpy(*given), wanted.numpy(), atol=1e-12)


def test_numpy_gradient_of_a_log_prob_is_one_minus_p_at_the_target_and_minus_p_elsewhere():
    logits, lse = np.array([[0, math.log(3)]]), np.array([math.log(4)])
    found = log_prob_backward_numpy(logits, np.array([0]), lse, np.array([2.0]))
    assert found == pytest.approx(np.array([[1.5, -1.5]]))


def test_softmax_of_many_rows_in_time():
    x = draw(4000, 300).numpy()
    np.testing.assert_allclose(softmax_numpy(x).sum(-1), 1, rtol=1e-5)
    within(1, softmax_numpy, x)


def several_tiles(T=129):
    """q, k, v of two tiles and a place more, later keys louder; what PyTorch makes of them."""
    q, k, v = (draw(1, 2, T, 4, seed=i).double() for i in range(3))
    k *= torch.linspace(0, 9, T)[:, None]
    tensors = [t.requires_grad_() for t in (q, k, v)]
    later = torch.ones(T, T).triu(1).bool()
    s = (q @ k.mT / 2).masked_fill(later, -math.inf)
    return tensors, s, s.softmax(-1) @ v


def test_attention_over_several_tiles_is_the_softmax_of_all_scores():
    tensors, s, wanted = several_tiles()
    o, lse = attention_numpy(*(t.detach().numpy() for t in tensors), True, None)
    np.testing.assert_allclose(o, wanted.detach().numpy(), atol=1e-9)
    np.testing.assert_allclose(lse, s.logsumexp(-1).detach().numpy(), atol=1e-9)


def test_gradients_over_several_tiles_are_pytorch_s_own():
    tensors, s, o = several_tiles()
    do = draw(*o.shape, seed=3).double()
    given = [t.detach().numpy() for t in (*tensors, o, s.logsumexp(-1), do)]
    found = attention_backward_numpy(*given, True)
    for one, wanted in zip(found, torch.autograd.grad(o, tensors, do)):
        np.testing.assert_allclose(one, wanted.numpy(), atol=1e-9)


def test_attention_s_memory_grows_with_the_length_and_not_with_its_square():
    def peak(T):
        q, k, v = (draw(1, 1, T, 4, seed=i).numpy() for i in range(3))
        tracemalloc.start()
        attention_numpy(q, k, v, True, None)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(2048) < 3 * peak(512)               # with a square it would be 16 times


@pytest.fixture
def interpreted():
    """Triton's kernels in its interpreter: TRITON_INTERPRET=1 before Python starts."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("needs TRITON_INTERPRET=1; tests/test_kernels_compile.py has the same for all")
    before = kernels.use("triton")
    yield
    kernels.use(before)


def test_the_interpreted_softmax_is_the_definition_for_rows_of_any_length(interpreted):
    for V in (1, 17, 200):
        x = draw(3, V)
        torch.testing.assert_close(kernels.softmax(x), torch.softmax(x, -1))


def test_the_interpreted_softmax_does_not_overflow_and_gives_minus_infinity_nothing(interpreted):
    x = torch.tensor([[1000.0, 1000.0, -math.inf]])
    assert kernels.softmax(x).tolist() == [[0.5, 0.5, 0.0]]


def test_interpreted_attention_gives_what_pytorch_gives(interpreted):
    q, k, v = (3 * draw(1, 2, 150, 16, seed=i) for i in range(3))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(kernels.attention(q, k, v), wanted, atol=1e-4, rtol=1e-4)


def test_the_interpreted_gradient_of_a_log_prob_adds_up_to_zero(interpreted):
    logits = draw(3, 20).requires_grad_()
    chosen = kernels.log_prob(logits, torch.tensor([1, 5, 19]))
    gradient, = torch.autograd.grad(chosen @ torch.tensor([1.0, 2.0, -3.0]), logits)
    assert gradient.sum(-1).abs().max() < 1e-5
    assert gradient[0, 1] > 0 > gradient[2, 19]
