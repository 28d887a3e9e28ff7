"""Direct preference optimisation (Rafailov 2023): rankings move the policy itself, without a reward
model and without sampling.

in    log-probabilities of pairs of answers under the policy and under the reference
run   python lessons/assignments/dpo.py       a policy over four answers learns from six pairs
see   how far the chosen answer rises, how far the policy moves, for three values of beta
"""
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from model import token_log_probs  # noqa: E402


def answer_log_probs(model, tokens, mask):
    """(B, T) int64, (B, T-1) 0/1 -> (B,): log pi(answer given prompt), nats. It is the sum over the
    answer's tokens, which the mask marks; a long answer is less likely, and that counts."""
    # exercise: the log-probabilities of the tokens, summed where the mask is one
    return (token_log_probs(model, tokens) * mask).sum(1)


def dpo_loss(log_probs, ref_log_probs, beta):
    """Mean -log sigmoid(beta (margin - margin of the reference)) over pairs (eq. 7), nats.

    log_probs, ref_log_probs (B, 2): of the better answer, then of the worse one; a margin is better
    less worse. No gradient flows into the reference. Where policy and reference agree: log 2. A
    margin of thousands gives no infinity. No pair at all, (0, 2): 0.
    """
    # exercise: how much more than the reference the policy prefers the better answer, in a sigmoid
    margins = log_probs[:, 0] - log_probs[:, 1]                             # (B,)
    ref_margins = (ref_log_probs[:, 0] - ref_log_probs[:, 1]).detach()
    losses = -F.logsigmoid(beta * (margins - ref_margins))
    return losses.sum() / max(1, len(losses))


def dpo_gradient(log_probs, ref_log_probs, beta):
    """(B, 2): the gradient of dpo_loss by log_probs, written out, without autograd.

    The better answer is pulled up by beta / B times sigmoid(-beta (margin - ref margin)), which is
    how wrong the policy still is, and the worse one is pushed down by as much.
    """
    # exercise: the two columns have opposite signs
    margins = (log_probs - ref_log_probs) @ torch.tensor([1.0, -1.0])       # (B,)
    pull = beta / max(1, len(margins)) * torch.sigmoid(-beta * margins)
    return torch.stack([-pull, pull], 1)


def learn_from_pairs(pairs, n, beta, steps=200, rate=0.5):
    """A policy over n answers, a softmax of n logits that start at 0, learns from pairs (better,
    worse) of places by gradient descent on dpo_loss, all pairs in each step. The reference is the
    policy at its start. -> (probabilities (n,), KL of the policy from the reference, nats)
    """
    # exercise: log-softmax, the pairs' columns, the loss, a step; then the KL, sum p log(p / p_ref)
    logits = torch.zeros(n, requires_grad=True)
    index = torch.tensor(pairs)                                             # (B, 2)
    reference = torch.log_softmax(logits.detach(), 0)                       # (n,)
    for _ in range(steps):
        loss = dpo_loss(torch.log_softmax(logits, 0)[index], reference[index], beta)
        gradient, = torch.autograd.grad(loss, logits)
        logits = (logits - rate * gradient).detach().requires_grad_()
    log_probs = torch.log_softmax(logits.detach(), 0)
    return log_probs.exp(), float((log_probs.exp() * (log_probs - reference)).sum())


def accuracy(log_probs, ref_log_probs):
    """The share of pairs (B, 2) whose better answer has the greater implicit reward,
    log pi - log pi_ref (eq. 5). Equal ones are not right."""
    rewards = log_probs - ref_log_probs
    return float((rewards[:, 0] > rewards[:, 1]).float().mean())


def noisy_pairs(order, n_pairs, noise, generator):
    """n_pairs pairs (better, worse) of different answers; order lists them from the best to the
    worst. With probability `noise` a pair is turned round."""
    pairs = []
    for _ in range(n_pairs):
        better, worse = torch.randperm(len(order), generator=generator)[:2].sort().values.tolist()
        if torch.rand(1, generator=generator).item() < noise:
            better, worse = worse, better
        pairs.append((order[better], order[worse]))
    return pairs


if __name__ == "__main__":
    drawn = noisy_pairs([2, 0, 3, 1], 6, 0.1, torch.Generator().manual_seed(0))
    print("pairs (better, worse):", *drawn)
    for strength in (0.1, 0.5, 2.0):
        probabilities, kl = learn_from_pairs(drawn, 4, strength)
        shown = " ".join(f"{p:.2f}" for p in probabilities.tolist())
        print(f"beta {strength:3}: probabilities {shown}, KL {kl:.2f} nats")
