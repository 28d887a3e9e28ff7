"""The network, its cache, its sampling, checkpoints, the chat template and the command line."""
from functools import partial

import pytest
import torch

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


def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_tenth():
    shares = [M.schedule(step, 100, 10) for step in range(100)]
    assert shares[0] == pytest.approx(0.1) and max(shares) == 1
    assert shares[-1] == pytest.approx(0.1) and shares[10:] == sorted(shares[10:], reverse=True)


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
    ours, theirs = ([torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.zeros(2)),
                     torch.nn.Parameter(torch.zeros(2))] for _ in range(2))
    one = M.AdamW(adamw_groups(ours, peak=0.01))
    two = torch.optim.AdamW(adamw_groups(theirs), lr=0.01, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(0)
    for step in range(20):
        for mine, other in zip(ours[:2 + step % 2], theirs):    # the last: every other step
            mine.grad = other.grad = torch.randn(mine.shape, generator=generator)
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
    assert ours[2].abs().min() > 0.01 and all(p.grad is None for p in ours)


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
