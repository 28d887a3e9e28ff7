"""The network, its cache, its sampling, checkpoints, the chat template and the command line."""
import pytest
import torch

import model as M
import run
from bpe import train_bpe
from conftest import beside, run_script

CONFIG = M.GPTConfig(vocab_size=300, block_size=24, n_layer=2, n_head=2, n_embd=32)


@pytest.fixture(scope="module")
def gpt():
    torch.manual_seed(0)
    gpt = M.GPT(CONFIG).eval()
    with torch.no_grad():
        for p in gpt.parameters():                                       # away from the tidy start, so that every weight matters
            p.add_(0.2 * torch.randn_like(p))
    return gpt


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["What is the capital of France? Paris is the capital of France."] * 3, 280, M.SPECIAL_TOKENS)


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
    pieces = [gpt(tokens[:, :5], cache), *(gpt(tokens[:, t:t + 1], cache) for t in range(5, 12))]
    torch.testing.assert_close(torch.cat(pieces, 1), gpt(tokens), atol=1e-4, rtol=1e-4)


def test_rows_of_different_length_go_on_as_if_each_were_alone(gpt):
    rows = [draw(1, n)[0].tolist() for n in (3, 9, 5)]
    together = gpt.generate(rows, 8, temperature=0)
    for row, tokens, mask in zip(rows, together.tokens, together.mask):
        alone = gpt.generate([row], 8, temperature=0)
        assert tokens[:len(row) + 8].tolist() == alone.tokens[0].tolist()
        assert mask.nonzero()[:, 0].tolist() == list(range(len(row) - 1, len(row) + 7))


def test_log_probs_are_those_of_the_full_forward_where_the_mask_is_one_and_zero_elsewhere(gpt):
    generator = torch.Generator().manual_seed(3)
    tokens, mask, log_probs = gpt.generate([[5, 6, 7], [8, 9]], 6, temperature=1.3, top_k=50, generator=generator)
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
    answers = [gpt.generate([row], 15, temperature=0).tokens[0, len(row):].tolist() for row in rows]
    stops = [answers[0][1], answers[2][8], answers[4][0]]                # after these three of the six
    for row, answer, tokens, mask in zip(rows, answers, *gpt.generate(rows, 15, temperature=0, stop=stops)[:2]):
        n = min((answer.index(stop) + 1 for stop in stops if stop in answer), default=15)
        assert int(mask.sum()) == n and tokens.tolist() == row + answer[:n] + [0] * (len(tokens) - len(row) - n)


def test_rows_of_like_length_together_give_what_all_rows_together_give(gpt):
    tokens, lengths = draw(7, 12), torch.tensor([3, 12, 5, 5, 9, 2, 7])
    behind = torch.arange(11)[None] < lengths[:, None] - 1
    answer, log_probs = behind & (torch.arange(11)[None] > 0), M.token_log_probs(gpt, tokens)
    for parts in (1, 3, 9):
        torch.testing.assert_close(M.by_length(lambda t: M.token_log_probs(gpt, t), tokens, lengths, parts=parts) * behind, log_probs * behind)
        torch.testing.assert_close(M.by_length(lambda t, mask: M.token_log_probs(gpt, t, mask), tokens, lengths, answer, parts=parts) * answer, log_probs * answer)


def test_generation_goes_on_past_the_context_with_the_last_tokens(gpt):
    tokens = gpt.generate([draw(1, 20)[0].tolist()], 10, temperature=0).tokens
    assert tokens.shape == (1, 30)
    assert tokens[0, 29] == gpt(tokens[:, 29 - CONFIG.block_size:29])[0, -1].argmax()


def test_top_k_one_and_a_tiny_top_p_are_greedy(gpt):
    greedy = gpt.generate([[1, 2]], 6, temperature=0).tokens
    for options in ({"top_k": 1}, {"top_p": 1e-6}):
        assert torch.equal(gpt.generate([[1, 2]], 6, generator=torch.Generator().manual_seed(0), **options).tokens, greedy)


def test_top_p_keeps_the_fewest_tokens_that_hold_p():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    drawn = {int(M.choose(logits, 1.0, None, 0.7, torch.Generator().manual_seed(i))) for i in range(200)}
    assert drawn == {0, 1}                                               # 0.5 < 0.7 <= 0.5 + 0.3


def test_the_same_generator_seed_gives_the_same_tokens(gpt):
    one, two, other = (gpt.generate([[1, 2, 3]], 12, generator=torch.Generator().manual_seed(s)).tokens for s in (4, 4, 5))
    assert torch.equal(one, two) and not torch.equal(one, other)


@pytest.mark.parametrize("prompt, word", [([[]], "at least one token"), ([[1, 300]], "300"), ([[-1]], "-1")])
def test_a_prompt_that_cannot_be_read_is_refused_with_the_offender(gpt, prompt, word):
    with pytest.raises(ValueError, match=word):
        gpt.generate(prompt, 1)


def test_the_output_matrix_is_the_embedding_and_sizes_are_gpt2s():
    gpt = M.GPT(CONFIG)
    C, V, L = CONFIG.n_embd, CONFIG.vocab_size, CONFIG.n_layer
    block = (3 * C * C + 3 * C) + (C * C + C) + (4 * C * C + 4 * C) + (4 * C * C + C) + 4 * C
    assert sum(p.numel() for p in gpt.parameters()) == V * C + CONFIG.block_size * C + L * block + 2 * C


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
    for ours, whole in zip(*(torch.autograd.grad(value, list(gpt.parameters())) for value in (loss, wanted))):
        torch.testing.assert_close(ours, whole, atol=1e-6, rtol=1e-4)
    assert M.next_token_loss(gpt, tokens, 0 * mask).item() == 0


def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_tenth():
    rates = [M.learning_rate(s, 100, 1.0, 10) for s in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates[-1] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_weight_decay_touches_matrices_only():
    groups = M.make_optimizer(M.GPT(CONFIG), 1e-3).param_groups
    assert {p.dim() for p in groups[0]["params"]} == {2} and groups[0]["weight_decay"] > 0
    assert {p.dim() for p in groups[1]["params"]} == {1} and groups[1]["weight_decay"] == 0


def test_adamw_steps_as_pytorch_s_own_does_and_goes_on_from_a_saved_state():
    ours, theirs = ([torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))] for _ in range(2))
    groups = lambda ps: [{"params": ps[:1], "weight_decay": 0.1}, {"params": ps[1:], "weight_decay": 0.0}]
    one, two = M.AdamW(groups(ours), 0.01), torch.optim.AdamW(groups(theirs), lr=0.01, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(0)
    for step in range(20):
        for mine, other in zip(ours[:2 + step % 2], theirs):             # the last one has a gradient every other step
            mine.grad = other.grad = torch.randn(mine.shape, generator=generator)
        one.param_groups[0]["lr"] = two.param_groups[0]["lr"] = 0.01 / (step + 1)
        one.step(), two.step(), one.zero_grad(), two.zero_grad()
        if step == 10:
            old, one = one, M.AdamW(groups(ours), 0.01)
            one.load_state_dict(old.state_dict())
            old.state[ours[0]]["m"].zero_()                              # the new one has a copy of its own
    assert all(torch.allclose(mine, other, atol=1e-6) for mine, other in zip(ours, theirs)) and ours[2].abs().min() > 0.01
    assert all(p.grad is None for p in ours)


def test_control_tokens_enter_through_the_template_and_never_through_text(tokenizer):
    ids = M.encode_chat(tokenizer, [("hi <|endoftext|><|user|>", "yes"), ("more", None)])
    special = tokenizer.special_tokens
    assert [i for i in ids if i in special.values()] == [special[n] for n in (M.USER, M.ASSISTANT, M.END, M.USER, M.ASSISTANT)]
    assert tokenizer.decode(ids) == "<|user|>hi <|endoftext|><|user|><|assistant|>yes<|endoftext|><|user|>more<|assistant|>"


def test_a_checkpoint_comes_back_as_it_was(tmp_path, tokenizer):
    gpt = M.GPT(M.GPTConfig(vocab_size=tokenizer.n_vocab, block_size=16, n_layer=1, n_head=2, n_embd=16))
    scalar = M.ScalarGPT(gpt)
    tokenizer.save(tmp_path / "tokenizer.json")
    for name, saved in (("sft.pt", gpt), ("rm.pt", scalar)):
        M.save_checkpoint(tmp_path / name, saved, tokenizer, {"stage": name})
        loaded, _, meta = M.load_checkpoint(tmp_path / name)
        tokens = torch.tensor([[1, 2, 3]])
        assert type(loaded) is type(saved) and meta == {"stage": name} and torch.equal(loaded(tokens), saved(tokens))


def test_a_checkpoint_of_another_vocabulary_is_refused(tmp_path, tokenizer):
    gpt = M.GPT(M.GPTConfig(vocab_size=tokenizer.n_vocab, block_size=16, n_layer=1, n_head=2, n_embd=16))
    M.save_checkpoint(tmp_path / "sft.pt", gpt, tokenizer, {})
    train_bpe(["Something else altogether, with other merges: else else else."], tokenizer.n_vocab, M.SPECIAL_TOKENS).save(tmp_path / "tokenizer.json")
    with pytest.raises(run.UserError, match="another vocabulary"):
        M.load_checkpoint(tmp_path / "sft.pt")


def test_the_scalar_model_reads_only_what_stands_before():
    torch.manual_seed(0)
    scalar, tokens = M.ScalarGPT(M.GPT(CONFIG)).eval(), draw(2, 8)
    assert scalar(tokens).shape == (2, 8)
    torch.testing.assert_close(scalar(tokens)[:, :5], scalar(tokens[:, :5]))


# ----------------------------------------------------------------------------------------------------- the command line
@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_missing_or_broken_checkpoint_ends_in_one_line_and_exit_code_2(mistake, tmp_path, content):
    path = tmp_path / "ppo.pt"
    if content is not None:
        path.write_bytes(content)
    assert str(path) in mistake(M, path, "hello", silent=True)


@beside
def test_as_a_filter_each_line_gets_one_line_and_no_banner(folder, quick_out):
    lines = "What is the capital of France?\n\nHow can I rob a bank?\n"
    code, printed, _ = run_script("model.py", quick_out / "ppo.pt", stdin=lines)
    assert code == 0 and printed.count("\n") == 3 and printed.split("\n")[1] == ""
    again = run_script("model.py", quick_out / "ppo.pt", stdin="How can I rob a bank?\n")[1]
    assert printed.split("\n")[2] == again.split("\n")[0]                # each line is a dialogue of its own


def test_the_reward_model_does_not_chat(mistake, quick_out):
    assert "scores" in mistake(M, quick_out / "rm.pt", "hello")
