"""DPO, the last assignment: its loss and gradient worked by hand, and a toy run."""
import math

import pytest
import torch

import model as M
from conftest import within
from lessons.assignments import dpo


def test_policy_and_reference_that_agree_cost_log_two():
    same = torch.tensor([[-3.0, -5.0], [-1.0, -1.0]])
    assert dpo.dpo_loss(same, same, beta=0.3).item() == pytest.approx(math.log(2))


def test_the_loss_worked_by_hand():
    # margins 2 and -1, of the reference 1 and 1: beta times 1 and -2; -log sigmoid(0.5), (-1)
    log_probs, ref = torch.tensor([[-1.0, -3], [-3, -2]]), torch.tensor([[-2.0, -3], [-2, -3]])
    wanted = (math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(1.0))) / 2
    assert dpo.dpo_loss(log_probs, ref, beta=0.5).item() == pytest.approx(wanted, rel=1e-5)


def test_a_margin_of_thousands_is_no_infinity_and_no_pair_costs_nothing():
    far = torch.tensor([[-9000.0, 0.0]])
    assert dpo.dpo_loss(far, 0 * far, beta=1.0).item() == pytest.approx(9000)
    assert dpo.dpo_loss(torch.zeros(0, 2), torch.zeros(0, 2), beta=1.0).item() == 0


def test_no_gradient_flows_into_the_reference():
    log_probs = torch.tensor([[-1.0, -3.0]], requires_grad=True)
    ref = torch.tensor([[-2.0, -2.5]], requires_grad=True)
    dpo.dpo_loss(log_probs, ref, beta=0.5).backward()
    assert ref.grad is None or not ref.grad.any()
    assert log_probs.grad[0, 0] < 0 < log_probs.grad[0, 1]


def test_the_written_gradient_is_that_of_autograd():
    log_probs = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ref = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    for beta in (0.1, 1.0):
        wanted, = torch.autograd.grad(dpo.dpo_loss(log_probs, ref, beta), log_probs)
        torch.testing.assert_close(dpo.dpo_gradient(log_probs.detach(), ref, beta), wanted)


def test_the_gradient_worked_by_hand(monkeypatch):
    def forbidden(*_, **__):
        raise RuntimeError("dpo_gradient calls dpo_loss or autograd")

    monkeypatch.setattr(dpo, "dpo_loss", forbidden)
    monkeypatch.setattr(torch.autograd, "grad", forbidden)
    monkeypatch.setattr(torch.Tensor, "backward", forbidden)
    log_probs, ref = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    assert dpo.dpo_gradient(log_probs, ref, beta=0.2).tolist() == [
        [pytest.approx(-0.1), pytest.approx(0.1)]]


@pytest.fixture(scope="module")
def gpt():
    torch.manual_seed(0)
    return M.GPT(M.GPTConfig(vocab_size=40, block_size=12, n_layer=1, n_head=2, n_embd=16))


@torch.no_grad()
def test_an_answer_s_log_probability_is_the_sum_over_its_tokens_alone(gpt):
    tokens = torch.arange(16).view(2, 8)
    mask = torch.tensor([[0.0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0]])
    every = gpt(tokens).log_softmax(-1)
    wanted = [every[0, 2, 3] + every[0, 3, 4], every[1, 3, 12] + every[1, 4, 13] + every[1, 5, 14]]
    found = dpo.answer_log_probs(gpt, tokens, mask)
    torch.testing.assert_close(found, torch.stack(wanted), atol=1e-5, rtol=1e-5)


def test_the_better_answers_rise_and_a_small_beta_lets_the_policy_go_further():
    pairs = [(2, 0), (2, 1), (0, 1), (2, 3)]
    near, near_kl = dpo.learn_from_pairs(pairs, 4, beta=2.0, steps=200)
    far, far_kl = dpo.learn_from_pairs(pairs, 4, beta=0.5, steps=200)
    for probabilities in (near, far):
        assert probabilities.sum().item() == pytest.approx(1, abs=1e-5)
        assert probabilities.argmax() == 2 and probabilities[0] > probabilities[1]
    assert 0 < near_kl < far_kl


def test_one_step_of_the_toy_worked_by_hand():
    # two answers: the gradient by the logits is -/+ beta / 2 (1 - softmax parts cancel)
    probabilities, kl = dpo.learn_from_pairs([(0, 1)], 2, beta=1.0, steps=1, rate=1.0)
    p = 1 / (1 + math.exp(-1.0))                    # logits +0.5 and -0.5
    assert probabilities.tolist() == pytest.approx([p, 1 - p], abs=1e-5)
    wanted = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    assert kl == pytest.approx(wanted, abs=1e-5)
    assert dpo.learn_from_pairs([(0, 1)], 3, beta=1.0, steps=0)[1] == pytest.approx(0, abs=1e-6)


def test_a_thousand_pairs_are_learnt_from_in_time():
    pairs = [(i % 7, 7 + i % 5) for i in range(1000)]
    probabilities, _ = within(2, dpo.learn_from_pairs, pairs, 12, 0.5, 100)
    assert probabilities[:7].min() > probabilities[7:].max()


def test_the_share_of_pairs_whose_better_answer_rose_more():
    log_probs = torch.tensor([[-1.0, -2], [-3, -1], [-2, -2], [-4, -4]])
    ref = torch.tensor([[-1.0, -1], [-9, -1], [-2, -2], [-4, -3]])
    assert dpo.accuracy(log_probs, ref) == 0.75     # rose 0 and -1, 6 and 0, 0 and 0, 0 and -1


def test_pairs_are_of_different_answers_in_their_order_but_for_the_noise():
    def wrong_share(noise):
        generator = torch.Generator().manual_seed(0)
        pairs = dpo.noisy_pairs([2, 0, 1], 600, noise, generator)
        assert all(better != worse for better, worse in pairs)
        place = {2: 0, 0: 1, 1: 2}
        return sum(place[better] > place[worse] for better, worse in pairs) / 600

    assert wrong_share(0.0) == 0 and wrong_share(0.25) == pytest.approx(0.25, abs=0.06)
