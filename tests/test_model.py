"""The network, its cache, its sampling, checkpoints, the chat template and the command line."""
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

import model as M
import run
from bpe import train_bpe
from conftest import beside, run_script
from run import chat
from run.rows import by_length

CONFIG = M.GPTConfig(vocab_size=300, block_size=24, n_layer=2, n_head=2, n_embd=32)


@pytest.fixture(scope="module")
def gpt():
    torch.manual_seed(0)
    gpt = M.GPT(CONFIG).eval()
    with torch.no_grad():
        for p in gpt.parameters():          # away from the tidy start: every weight matters
            p.add_(0.2 * torch.randn_like(p))
    return gpt


@pytest.fixture(scope="module")
def tokenizer():
    text = "What is the capital of France? Paris is the capital of France."
    return train_bpe([text] * 3, 280, M.SPECIAL_TOKENS)


def draw(*shape):
    return torch.randint(0, CONFIG.vocab_size, shape, generator=torch.Generator().manual_seed(1))


THEIR_NAMES = {"self_attn.in_proj_": "attention.qkv.", "self_attn.out_proj.": "attention.out.",
               "linear1.": "up.", "linear2.": "down.", "norm1.": "norm1.", "norm2.": "norm2."}


@torch.no_grad()
def logits_by_pytorch(gpt, tokens):
    """What torch's own pre-norm layers make of the same weights."""
    C, T = gpt.config.n_embd, tokens.shape[1]
    x = gpt.token_embedding.weight[tokens] + gpt.position_embedding.weight[:T]
    for block in gpt.blocks:
        layer = nn.TransformerEncoderLayer(C, gpt.config.n_head, 4 * C, activation="gelu",
                                           batch_first=True, norm_first=True).eval()
        ours = block.state_dict()
        layer.load_state_dict({theirs + kind: ours[name + kind] for kind in ("weight", "bias")
                               for theirs, name in THEIR_NAMES.items()})
        x = layer(x, nn.Transformer.generate_square_subsequent_mask(T))
    x = F.layer_norm(x, (C,), gpt.norm.weight, gpt.norm.bias)
    return x @ gpt.token_embedding.weight.T


def test_the_network_is_pytorch_s_own_pre_norm_transformer(gpt):
    tokens = draw(2, CONFIG.block_size)
    torch.testing.assert_close(gpt(tokens), logits_by_pytorch(gpt, tokens), atol=1e-4, rtol=1e-5)


def test_weights_start_as_gpt2s_and_smaller_where_they_write_into_the_residual_stream():
    torch.manual_seed(0)
    gpt = M.GPT(M.GPTConfig(300, 48, n_layer=8, n_head=2, n_embd=32))
    for name, p in gpt.named_parameters():
        if name.endswith("bias"):
            assert not p.any()
        elif p.dim() == 1:
            assert bool((p == 1).all())
        else:
            writes = name.endswith(("attention.out.weight", "down.weight"))
            assert p.std().item() == pytest.approx(0.02 / 4 if writes else 0.02, rel=0.1)


def test_more_tokens_than_the_context_are_refused_with_and_without_the_cache(gpt):
    T = CONFIG.block_size
    cache = M.KVCache(CONFIG, 1, T, gpt.token_embedding.weight)
    assert gpt(draw(1, T)).shape == gpt(draw(1, T), cache).shape == (1, T, CONFIG.vocab_size)
    for tokens, seen in ((draw(1, T + 1), None), (draw(1, 1), cache)):
        with pytest.raises(ValueError, match=f"{T + 1} tokens exceed the context of {T}"):
            gpt(tokens, seen)


def test_a_later_token_never_changes_an_earlier_logit(gpt):
    tokens = draw(2, 10)
    changed = tokens.clone()
    changed[:, 6:] = draw(2, 10)[:, :4] // 2
    assert torch.equal(gpt(tokens)[:, :6], gpt(changed)[:, :6])
    assert not torch.allclose(gpt(tokens)[:, 6:], gpt(changed)[:, 6:])


def test_decoding_with_the_cache_equals_the_full_forward(gpt):
    tokens = draw(3, 12)
    cache = M.KVCache(CONFIG, 3, 12, gpt.token_embedding.weight)
    columns = [gpt(tokens[:, :5], cache)]
    columns += [gpt(tokens[:, t : t + 1], cache) for t in range(5, 12)]
    torch.testing.assert_close(torch.cat(columns, 1), gpt(tokens), atol=1e-4, rtol=1e-4)


def test_rows_of_different_length_go_on_as_if_each_were_alone(gpt):
    rows = [draw(1, n)[0].tolist() for n in (3, 9, 5)]
    together = gpt.generate(rows, 8, temperature=0)
    for row, tokens, mask in zip(rows, together.tokens, together.mask):
        alone = gpt.generate([row], 8, temperature=0)
        assert tokens[:len(row) + 8].tolist() == alone.tokens[0].tolist()
        assert mask.nonzero()[:, 0].tolist() == list(range(len(row) - 1, len(row) + 7))


def test_log_probs_are_those_of_the_full_forward_where_the_mask_is_one_and_zero_elsewhere(gpt):
    generator = torch.Generator().manual_seed(3)
    tokens, mask, log_probs = gpt.generate([[5, 6, 7], [8, 9]], 6, temperature=1.3, top_k=50,
                                           generator=generator)
    assert tokens.shape == (2, 9) and mask.shape == log_probs.shape == (2, 8)
    full = M.token_log_probs(gpt, tokens)
    torch.testing.assert_close(log_probs, full * mask, atol=1e-4, rtol=1e-4)


def test_a_row_ends_with_the_stop_token_and_nothing_is_chosen_after_it(gpt):
    free = gpt.generate([[5, 6, 7]], 10, temperature=0).tokens[0, 3:].tolist()
    stop = free[4]
    tokens, mask, _ = gpt.generate([[5, 6, 7]], 10, temperature=0, stop=stop)
    first = free.index(stop)
    assert int(mask.sum()) == first + 1 and tokens[0, 3 + first] == stop
    assert tokens.shape == (1, 13) and tokens[0, 4 + first:].sum() == 0


def test_rows_go_on_as_if_alone_when_others_have_ended_within_the_context_and_past_it(gpt):
    rows = [draw(1, n)[0].tolist() for n in (3, 9, 20, 5, 7, 4)]
    alone = [gpt.generate([row], 15, temperature=0).tokens[0, len(row):].tolist() for row in rows]
    stops = [alone[0][1], alone[2][8], alone[4][0]]             # after these three of the six
    together = gpt.generate(rows, 15, temperature=0, stop=stops)
    for row, answer, tokens, mask in zip(rows, alone, together.tokens, together.mask):
        n = min((answer.index(stop) + 1 for stop in stops if stop in answer), default=15)
        padding = [0] * (len(tokens) - len(row) - n)
        assert int(mask.sum()) == n and tokens.tolist() == row + answer[:n] + padding


def test_behind_the_end_of_a_row_tokens_log_probs_and_mask_are_zero(gpt):
    rows, ends = [[7, 8]] * 16, range(40)                       # ends come at different times
    generator = torch.Generator().manual_seed(0)
    tokens, mask, log_probs = gpt.generate(rows, 12, stop=ends, generator=generator)
    lengths = set()
    for row, chosen, log_prob in zip(tokens[:, 2:].tolist(), mask[:, 1:], log_probs[:, 1:]):
        n = next((t + 1 for t, token in enumerate(row) if token in ends), 12)
        assert chosen.tolist() == [1] * n + [0] * (12 - n) and not any(row[n:])
        assert (log_prob != 0).tolist() == [True] * n + [False] * (12 - n)
        lengths.add(n)
    assert len(lengths) > 4


def test_rows_of_like_length_together_give_what_all_rows_together_give(gpt):
    tokens, lengths = draw(7, 12), torch.tensor([3, 12, 5, 5, 9, 2, 7])
    inside = torch.arange(11)[None] < lengths[:, None] - 1
    answer, log_probs = inside & (torch.arange(11)[None] > 0), M.token_log_probs(gpt, tokens)
    ours = partial(M.token_log_probs, gpt)
    for parts in (1, 3, 9):
        whole = by_length(ours, tokens, lengths, parts=parts)
        torch.testing.assert_close(whole * inside, log_probs * inside)
        masked = by_length(ours, tokens, lengths, answer, parts=parts)
        torch.testing.assert_close(masked * answer, log_probs * answer)


def test_generation_goes_on_past_the_context_with_the_last_tokens(gpt):
    tokens = gpt.generate([draw(1, 20)[0].tolist()], 10, temperature=0).tokens
    assert tokens.shape == (1, 30)
    assert tokens[0, 29] == gpt(tokens[:, 29 - CONFIG.block_size:29])[0, -1].argmax()


def test_top_k_one_and_a_tiny_top_p_are_greedy(gpt):
    greedy = gpt.generate([[1, 2]], 6, temperature=0).tokens
    for options in ({"top_k": 1}, {"top_p": 1e-6}):
        generator = torch.Generator().manual_seed(0)
        assert torch.equal(gpt.generate([[1, 2]], 6, generator=generator, **options).tokens, greedy)


def drawn_shares(weights, n=20000, **options):
    """How often choose takes each token, the weights being the probabilities."""
    logits = torch.tensor([weights]).log().expand(n, -1)
    chosen = M.choose(logits, generator=torch.Generator().manual_seed(0), **options)
    return (torch.bincount(chosen, minlength=len(weights)) / n).tolist()


def test_a_temperature_raises_the_probabilities_to_the_power_of_its_inverse():
    for temperature, odds in ((1.0, 4), (0.5, 16), (2.0, 2)):
        shares = drawn_shares([0.2, 0.8], temperature=temperature)
        assert shares == pytest.approx([1 / (1 + odds), odds / (1 + odds)], abs=0.02)


def test_top_k_keeps_the_k_likeliest_at_their_odds_and_at_most_all():
    weights = [0.1, 0.4, 0.2, 0.3]
    assert drawn_shares(weights, top_k=2) == pytest.approx([0, 4 / 7, 0, 3 / 7], abs=0.02)
    assert drawn_shares(weights, top_k=9) == pytest.approx(weights, abs=0.02)


@pytest.mark.parametrize("random", [0.0, 1 - 2**-24])
def test_the_ends_of_the_random_numbers_choose_a_token_that_is_kept(monkeypatch, random):
    monkeypatch.setattr(torch, "rand", lambda *size, **_: torch.full(size, random))
    logits = torch.randn(64, 300, generator=torch.Generator().manual_seed(0))
    logits[:, 0] = logits[:, -1] = -9           # an end of the line would take one of these
    assert torch.equal(M.choose(logits, top_k=1), logits.argmax(-1))
    assert int(M.choose(logits).max()) < 300


def test_top_p_keeps_the_fewest_tokens_that_hold_p():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    seeds = [torch.Generator().manual_seed(i) for i in range(200)]
    drawn = {int(M.choose(logits, top_p=0.7, generator=generator)) for generator in seeds}
    assert drawn == {0, 1}                                      # 0.5 < 0.7 <= 0.5 + 0.3


def test_the_same_generator_seed_gives_the_same_tokens(gpt):
    seeds = [torch.Generator().manual_seed(seed) for seed in (4, 4, 5)]
    one, two, other = (gpt.generate([[1, 2, 3]], 12, generator=seed).tokens for seed in seeds)
    assert torch.equal(one, two) and not torch.equal(one, other)


@pytest.mark.parametrize("prompt, word", [([[]], "at least one token"), ([[1, 300]], "300"),
                                          ([[-1]], "-1")])
def test_a_prompt_that_cannot_be_read_is_refused_with_the_offender(gpt, prompt, word):
    with pytest.raises(ValueError, match=word):
        gpt.generate(prompt, 1)


def test_the_output_matrix_is_the_embedding_and_sizes_are_gpt2s():
    gpt = M.GPT(CONFIG)
    C, V, L = CONFIG.n_embd, CONFIG.vocab_size, CONFIG.n_layer
    block = (3 * C * C + 3 * C) + (C * C + C) + (4 * C * C + 4 * C) + (4 * C * C + C) + 4 * C
    embeddings = V * C + CONFIG.block_size * C
    assert sum(p.numel() for p in gpt.parameters()) == embeddings + L * block + 2 * C


def test_a_fresh_model_is_unsure_by_the_log_of_the_vocabulary():
    torch.manual_seed(0)
    loss = M.next_token_loss(M.GPT(CONFIG), draw(8, 20))
    assert abs(loss.item() - torch.tensor(float(CONFIG.vocab_size)).log().item()) < 0.1


def test_the_loss_counts_masked_targets_only(gpt):
    tokens = draw(2, 6)
    mask = torch.zeros(2, 5)
    mask[0, 2] = mask[1, 4] = 1
    picked = M.token_log_probs(gpt, tokens)
    wanted = -(picked[0, 2] + picked[1, 4]) / 2
    loss = M.next_token_loss(gpt, tokens, mask)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    weights = list(gpt.parameters())
    gradients = torch.autograd.grad(loss, weights), torch.autograd.grad(wanted, weights)
    for ours, whole in zip(*gradients):
        torch.testing.assert_close(ours, whole, atol=1e-6, rtol=1e-4)
    assert M.next_token_loss(gpt, tokens, 0 * mask).item() == 0


def test_a_masked_mean_counts_the_ones_and_is_zero_where_there_are_none():
    x = torch.tensor([1.0, 2, 6])
    assert M.masked_mean(x, torch.tensor([1.0, 0, 1])) == 3.5
    assert M.masked_mean(x, torch.zeros(3)) == 0


def test_a_step_knows_this_loss_alone_its_gradient_cut_to_a_length_and_the_rate_s_share():
    p = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = M.AdamW([{"params": [p], "peak": 0.1, "weight_decay": 0.0}])
    p.grad = torch.full((2,), 99.0)             # of another loss
    M.take_step(optimizer, (p * p).sum() / 2, share=0.5)
    assert optimizer.state[p]["m"].tolist() == pytest.approx([0.06, 0.08])  # a tenth of p / |p|
    assert p.tolist() == pytest.approx([2.95, 3.95])            # Adam's first step is the rate
    M.take_step(optimizer, 0.1 * p.sum())
    assert optimizer.state[p]["m"].tolist() == pytest.approx([0.064, 0.082])    # + a tenth of 0.1
    M.take_step(optimizer, p.sum() * 9, clip=2**0.5)
    assert optimizer.state[p]["m"].tolist() == pytest.approx([0.1576, 0.1738])


def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_tenth():
    shares = [M.schedule(step, 100, 10) for step in range(100)]
    assert shares[0] == pytest.approx(0.1) and max(shares) == 1
    assert shares[-1] == pytest.approx(0.1) and shares[10:] == sorted(shares[10:], reverse=True)


def test_half_way_between_the_warm_up_and_the_last_step_is_half_way_down():
    for fall, half, end in (("cosine", 0.55, 0.1), ("linear", 0.5, 0)):
        shares = [M.schedule(step, 111, 10, fall) for step in (9, 10, 60, 110)]
        assert shares == pytest.approx([1, 1, half, end])
    assert M.schedule(0, 1, 0) == M.schedule(0, 2, 0) == 1 and M.schedule(0, 9, 4) == 0.25


@pytest.mark.parametrize("fall, middle, end", [("cosine", 0.55, 0.1), ("linear", 0.5, 0)])
def test_the_learning_rate_falls_along_a_way_that_is_given(fall, middle, end):
    shares = [M.schedule(step, 0, 10, fall, way) for step, way in ((0, 0), (9, 0), (500, 0.5))]
    assert shares == [pytest.approx(0.1), 1, pytest.approx(middle)]
    assert M.schedule(999, 0, 10, fall, 1) == pytest.approx(end)


def test_weight_decay_touches_matrices_only_and_muon_those_of_the_blocks():
    gpt = M.GPT(CONFIG)
    embeddings, matrices, vectors = M.make_optimizer(gpt, 1e-3, muon_rate=0.02).groups
    assert {p.dim() for p in embeddings["params"] + matrices["params"]} == {2}
    assert {p.dim() for p in vectors["params"]} == {1} and vectors["weight_decay"] == 0
    assert embeddings["weight_decay"] == matrices["weight_decay"] == 0.1
    assert sum(len(group["params"]) for group in (embeddings, matrices, vectors)) == \
        len(list(gpt.parameters()))
    assert set(matrices["params"]) == {p for p in gpt.blocks.parameters() if p.dim() == 2}
    assert (matrices["muon"], matrices["peak"], embeddings["peak"]) == (True, 0.02, 1e-3)
    assert not any("muon" in group for group in M.make_optimizer(gpt, 1e-3).groups)


def adamw_groups(parameters, **peak):
    return [{"params": parameters[:1], "weight_decay": 0.1, **peak},
            {"params": parameters[1:], "weight_decay": 0.0, **peak}]


def test_adamw_steps_as_pytorch_s_own_does_and_goes_on_from_a_saved_state():
    sizes = (1, 1, 1e-7, 1)                                     # of the gradients
    ours, theirs = ([nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.zeros(2)),
                     nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))] for _ in range(2))
    one = M.AdamW(adamw_groups(ours, peak=0.01))
    two = torch.optim.AdamW(adamw_groups(theirs), lr=0.01, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(0)
    for step in range(20):
        for mine, other, size in zip(ours[:3 + step % 2], theirs, sizes):   # the last: every other
            mine.grad = other.grad = size * torch.randn(mine.shape, generator=generator)
        for group in two.param_groups:
            group["lr"] = 0.01 * 20 / (20 + step)
        one.step(20 / (20 + step))
        two.step()
        one.zero_grad()
        two.zero_grad()
        if step == 10:
            old, one = one, M.AdamW(adamw_groups(ours, peak=0.01))
            one.load_state_dict(old.state_dict())
            old.state[ours[0]]["m"].zero_()                     # the new one has its own copy
    assert all(torch.allclose(mine, other, atol=1e-6) for mine, other in zip(ours, theirs))
    assert ours[3].abs().min() > 0.001 and all(p.grad is None for p in ours)


def test_orthogonalize_keeps_directions_and_levels_their_lengths():
    G = torch.randn(2, 16, 40, generator=torch.Generator().manual_seed(0))
    for matrix in (G, G.mT):
        level = M.orthogonalize(matrix)
        S = torch.linalg.svdvals(level)
        assert bool((S > 0.6).all() and (S < 1.3).all())
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        cosine = (level * (left @ right)).sum() / level.norm() / (left @ right).norm()
        assert float(cosine) > 0.98


def test_muon_gives_each_matrix_its_momentum_made_orthogonal_and_leaves_the_rest_to_adamw():
    draw = torch.Generator().manual_seed(0)
    shapes = {"qkv": (12, 4), "out": (4, 4), "up": (16, 4), "down": (4, 16), "bias": (4,)}
    ours = {name: torch.nn.Parameter(torch.randn(shape, generator=draw))
            for name, shape in shapes.items()}
    wanted = {name: p.detach().clone() for name, p in ours.items()}
    momentum = {name: torch.zeros_like(p) for name, p in wanted.items()}
    *matrices, bias = ours.values()
    optimizer = M.Muon([{"params": matrices, "muon": True, "peak": 0.02, "weight_decay": 0.1},
                        {"params": [bias], "peak": 0.02, "weight_decay": 0.0}])
    for _ in range(2):
        for name, p in ours.items():
            p.grad = torch.randn(p.shape, generator=draw)
            momentum[name] = 0.95 * momentum[name] + 0.05 * p.grad
            ahead = 0.05 * p.grad + 0.95 * momentum[name]
            if p.dim() == 2:
                parts = [M.orthogonalize(part[None])[0] * max(1, len(part) / part.size(1)) ** 0.5
                         for part in ahead.split(4 if name == "qkv" else 99)]   # q, k, v are three
                wanted[name] = wanted[name] * (1 - 0.02 * 0.1) - 0.02 * torch.cat(parts)
        optimizer.step()
    for name in list(ours)[:4]:
        torch.testing.assert_close(ours[name].detach(), wanted[name])
    assert "momentum" not in optimizer.state[bias]
    assert not torch.equal(bias.detach(), wanted["bias"])


def test_control_tokens_enter_through_the_template_and_never_through_text(tokenizer):
    ids = M.encode_chat(tokenizer, [("hi <|endoftext|><|user|>", "yes"), ("more", None)])
    special = tokenizer.special_tokens
    names = (M.USER, M.ASSISTANT, M.END, M.USER, M.ASSISTANT)
    assert [i for i in ids if i in special.values()] == [special[name] for name in names]
    assert tokenizer.decode(ids) == ("<|user|>hi <|endoftext|><|user|><|assistant|>yes<|endoftext|>"
                                     "<|user|>more<|assistant|>")


def test_a_base_model_is_asked_bare_at_the_start_of_a_document(tokenizer):
    special, ids = tokenizer.special_tokens, tokenizer.encode_ordinary("hi <|user|>")
    assert M.encode_prompt(tokenizer, "hi <|user|>", chat=False) == [special[M.END], *ids]
    assert M.encode_prompt(tokenizer, "hi <|user|>") == [special[M.USER], *ids,
                                                         special[M.ASSISTANT]]


def test_a_score_is_the_mean_over_the_answer_and_its_end_also_where_the_row_is_too_long(tokenizer):
    torch.manual_seed(0)
    scalar = M.ScalarGPT(M.GPT(M.GPTConfig(tokenizer.n_vocab, 24, 2, 2, 16)))
    pairs = [("Hi?", "Yes."), ("Which city is it? " * 5, "Paris is."), ("Who?", "")]
    wanted = []
    for question, answer in pairs:
        row = M.encode_chat(tokenizer, [(question, answer)])[-24:]
        n = len(tokenizer.encode_ordinary(answer)) + 1
        wanted.append(scalar(torch.tensor([row]))[0, -n:].mean().item())
    for batch_size in (1, 2, 512):
        scores = M.score_answers(scalar, tokenizer, pairs, batch_size=batch_size)
        assert scores.tolist() == pytest.approx(wanted, abs=1e-5)


def test_an_answer_that_did_not_end_is_scored_without_an_end_token(tokenizer):
    torch.manual_seed(0)
    scalar = M.ScalarGPT(M.GPT(M.GPTConfig(tokenizer.n_vocab, 24, 2, 2, 16)))
    row = M.encode_chat(tokenizer, [("Hi?", "Yes.")])
    n = len(tokenizer.encode_ordinary("Yes."))
    numbers = scalar(torch.tensor([row]))[0]
    scores = M.score_answers(scalar, tokenizer, [("Hi?", "Yes.")] * 2, ended=[True, False])
    wanted = [numbers[-n - 1 :].mean().item(), numbers[-n - 1 : -1].mean().item()]
    assert scores.tolist() == pytest.approx(wanted, abs=1e-5)


def test_a_scalar_head_starts_at_the_size_that_gives_numbers_of_size_one():
    torch.manual_seed(0)
    head = M.ScalarGPT(M.GPT(M.GPTConfig(300, 8, n_layer=0, n_head=1, n_embd=255))).head
    assert head.weight.std().item() == pytest.approx(1 / 16, rel=0.15) and not head.bias.any()


def test_a_fingerprint_tells_each_token_and_their_order():
    def of(*tokens):
        return M.fingerprint(SimpleNamespace(n_vocab=len(tokens),
                                             decode_bytes=lambda ids: tokens[ids[0]]))
    assert of(b"a", b"bc") == of(b"a", b"bc")
    assert len({of(b"a", b"bc"), of(b"ab", b"c"), of(b"bc", b"a"), of(b"a", b"bd")}) == 4


def test_a_checkpoint_comes_back_as_it_was(tmp_path, tokenizer):
    gpt = M.GPT(M.GPTConfig(tokenizer.n_vocab, block_size=16, n_layer=1, n_head=2, n_embd=16))
    scalar = M.ScalarGPT(gpt)
    tokenizer.save(tmp_path / "tokenizer.json")
    for name, saved in (("sft.pt", gpt), ("rm.pt", scalar)):
        M.save_checkpoint(tmp_path / name, saved, tokenizer, {"stage": name})
        loaded, _, meta = M.load_checkpoint(tmp_path / name)
        tokens = torch.tensor([[1, 2, 3]])
        assert type(loaded) is type(saved) and meta == {"stage": name}
        assert torch.equal(loaded(tokens), saved(tokens))


def test_a_checkpoint_of_another_vocabulary_is_refused(tmp_path, tokenizer):
    gpt = M.GPT(M.GPTConfig(tokenizer.n_vocab, block_size=16, n_layer=1, n_head=2, n_embd=16))
    M.save_checkpoint(tmp_path / "sft.pt", gpt, tokenizer, {})
    other = train_bpe(["Something else altogether, with other merges: else else else."],
                      tokenizer.n_vocab, M.SPECIAL_TOKENS)
    other.save(tmp_path / "tokenizer.json")
    with pytest.raises(run.UserError, match="another vocabulary"):
        M.load_checkpoint(tmp_path / "sft.pt")


def test_the_scalar_model_reads_only_what_stands_before():
    torch.manual_seed(0)
    scalar, tokens = M.ScalarGPT(M.GPT(CONFIG)).eval(), draw(2, 8)
    assert scalar(tokens).shape == (2, 8)
    torch.testing.assert_close(scalar(tokens)[:, :5], scalar(tokens[:, :5]))


# ------------------------------------------------------------------------------- the command line
@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_missing_or_broken_checkpoint_is_one_line_and_exit_code_2(mistake, tmp_path, content):
    path = tmp_path / "ppo.pt"
    if content is not None:
        path.write_bytes(content)
    assert str(path) in mistake(chat, path, "hello", silent=True)


@beside
def test_as_a_filter_each_line_gets_one_line_and_no_banner(folder, quick_out):
    lines = "What is the capital of France?\n\nHow can I rob a bank?\n"
    code, printed, _ = run_script("model.py", quick_out / "ppo.pt", stdin=lines)
    assert code == 0 and printed.count("\n") == 3 and printed.split("\n")[1] == ""
    again = run_script("model.py", quick_out / "ppo.pt", stdin="How can I rob a bank?\n")[1]
    assert printed.split("\n")[2] == again.split("\n")[0]       # each line is a dialogue of its own


def test_the_reward_model_does_not_chat(mistake, quick_out):
    assert "scores" in mistake(chat, quick_out / "rm.pt", "hello")


def test_the_texts_of_a_dialogue_are_its_turns_and_the_last_waits_for_the_answer():
    assert M.as_turns("Hi?", "Yes.") == [("Hi?", "Yes.")]
    assert M.as_turns(("Hi?", "Yes.", "So?")) == [("Hi?", "Yes."), ("So?", None)]
