"""Rows of different length in one tensor."""
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from run import UserError


def share_context(max_new_tokens, context, own=False):
    """-> (tokens of the longest answer, tokens left for the prompt). 0 stands for half of the
    context, in the tiny world for at most 24. Raises UserError where nothing is left."""
    longest = max_new_tokens or min(context if own else 24, context // 2)
    if longest > context - 8:
        raise UserError(f"--max-new-tokens {longest} leaves no room for a question in the "
                        f"model's context of {context} tokens: give {context // 2}")
    return longest, context - longest


def last_chosen(mask):
    """(B, T-1) 0/1 -> (B,): the column of the last 1."""
    return mask.shape[1] - 1 - mask.flip(1).argmax(1)


def row_lengths(mask):
    """(B, T-1) -> (B,): prompt and answer. Column t is of token t+1, so two more than a column."""
    return last_chosen(mask) + 2


def pad_rows(tokens, vocab_size, device):
    """Id lists of different lengths, or (B, P) -> right-padded (B, P) int64 and lengths (B,).
    Raises ValueError for an empty row and for ids outside the vocabulary."""
    if torch.is_tensor(tokens):
        tokens = tokens.tolist()
    rows = [torch.tensor(list(row), dtype=torch.int64) for row in tokens]
    if not rows or min(map(len, rows)) == 0:
        raise ValueError("each prompt needs at least one token")
    ids = torch.cat(rows)
    wrong = ids[(ids < 0) | (ids >= vocab_size)]
    if len(wrong):
        raise ValueError(f"token id {wrong[0]} is outside the vocabulary of {vocab_size}")
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return pad_sequence(rows, batch_first=True).to(device), lengths


def by_length(function, tokens, lengths, *more, parts=4):
    """What function(tokens, *more) gives, with little padding computed: it is called with rows of
    like length, cut to the longest of them.

    tokens (B, T) int64, right-padded; lengths (B,); more: (B, T) or (B, T-1) each. The function
    and this return (B, T) or (B, T-1); behind each row's end stands anything.
    """
    order, T = lengths.argsort(stable=True), tokens.shape[1]
    done = []
    for rows in order.tensor_split(min(parts, len(order))):
        t = int(lengths[rows].max())
        cut = [x[rows, : t + x.shape[1] - T] for x in more]
        done.append(F.pad(function(tokens[rows, :t], *cut), (0, T - t)))
    return torch.cat(done)[order.argsort()]
