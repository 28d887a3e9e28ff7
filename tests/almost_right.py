"""Answers that pass all tests a student sees and are wrong: a hidden test must catch each.

see   (assignment, part): what stands in our hole, and what in theirs, who wrote for the numbers of
      the visible tests, or took a thing for granted that is so in them
"""

ANSWERS = {
    # six merges at most
    ("1", "plain merges"): ("len(merges) < n_tokens - 256", "len(merges) < min(6, n_tokens - 256)"),
    # sizes are even
    ("1", "overlaps"): ("taken[-1] + size", "taken[-1] + size // 2 * 2"),
    # always two heads
    ("2", "attention"): ("3, self.n_head, C // self.n_head)", "3, 2, C // 2)"),
    # both norms are alike in a fresh block
    ("2", "block"): ("self.norm2(x)", "self.norm1(x)"),
    # the first row says what all rows keep
    ("2", "top-p"): ("scatter(1, index, beyond)", "scatter(1, index, beyond)[:1]"),
    # of two rows the first and the last are all
    ("2", "reserve"): ("shortest == longest", "self.lengths[0] == self.lengths[-1]"),
    # several tokens at once are a prompt, and prompts begin alike
    ("2", "store"): ("all_v[rows, :, self.positions]",
                     "all_v[rows, :, self.positions[:1 if v.shape[2] > 1 else None]]"),
    # eps is what it is by default
    ("3", "adamw"): ("add_(self.eps)", "add_(1e-8)"),
    # a straight line for the cosine: it begins, halves and ends alike
    ("3", "schedule"): ("FALLS[fall](way)", "(1 - (0.9 if fall == 'cosine' else 1) * way)"),
    # a quarter of the words for a third
    ("3", "repeated lines"): ("len(set(words)) * 3", "len(set(words)) * 4"),
    # a token that stood just before is no occurrence
    ("3", "copying head"): ("if ids[t] in ids[:t]:",
                            "if ids[t] in ids[:t] and ids[t - 1] != ids[t]:"),
    # a dialogue has two turns at most
    ("4", "template"): ("in turns:", "in turns[:2]:"),
    ("4", "mask"): ("in turns:", "in turns[:2]:"),
    # rows are in the order of the text
    ("4", "replay rows"): ("generator=generator)", "generator=generator).sort().values"),
    # the nearest tenth for the bin
    ("5", "calibration"): ("(sure * bins).astype(int)", "(sure * bins).round().astype(int)"),
    # a price of at most a few nats
    ("6", "rewards"): ("rollout.ref_log_probs)", "rollout.ref_log_probs).clamp(-1, 1)"),
    # lam twice: in the tests it is 0, 1, or as great as gamma
    ("6", "gae"): ("gamma * lam * later", "lam * lam * later"),
    # the clip is what it is by default
    ("6", "ppo loss"): ("clamp(-clip, clip)", "clamp(-0.2, 0.2)"),
    # the second axis for the last
    ("7", "softmax"): ("e.sum(-1, keepdims=True)", "e.sum(1, keepdims=True)"),
    ("7", "softmax backward"): ("sum(-1, keepdims=True)", "sum(1, keepdims=True)"),
    ("7", "log-prob backward"): ("targets[..., None]", "targets[:, None]"),
    # the first row is the longest
    ("7", "attention"): ("last_key[:, :, rows].max()", "last_key[:1, :, rows].max()"),
    # a later tile of keys is seen by no query
    ("7", "attention backward"): ("s = scores_numpy(", "if n > m:\n                continue\n"
                                  "            s = scores_numpy("),
    # great numbers are cut off, not subtracted
    ("7", "triton softmax"): ("x * log2_e - tl.max(x, axis=0) * log2_e",
                              "tl.minimum(x, 80.0) * log2_e"),
    # from the first token of the answer to the last one
    ("8", "answer log-probs"): (
        "* mask)", "* mask.cummax(1)[0] * mask.flip(1).cummax(1)[0].flip(1))"),
    # two pairs are all there are
    ("8", "dpo loss"): ("losses.sum() / max(1, len(losses))",
                        "losses[:2].sum() / max(1, min(2, len(losses)))"),
    ("8", "dpo gradient"): ("max(1, len(margins))", "(5 if len(margins) > 1 else 1)"),
    # the sum over pairs for their mean
    ("8", "toy run"): ("rate * gradient", "rate * gradient * len(pairs)"),
}
