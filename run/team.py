"""The machine: devices, precision, compiling, several processes, memory. A reader may skip it.

run   torchrun --nproc_per_node=2 train_pretrain.py     two processes that train as one
"""
import contextlib
import ctypes
import os
import time
from datetime import timedelta

import torch
import torch.distributed as dist

import kernels
from run import Progress, UserError


def keep_freed_memory():
    """glibc hands freed memory back to the system, and asking for it again is a tenth of a
    training step: here it keeps it. Elsewhere nothing happens."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 1 << 25)                # M_MMAP_THRESHOLD: 32 MB, the most
        mallopt(-1, 2**31 - 1)              # M_TRIM_THRESHOLD


def pick_device(name):
    """--device -> torch.device. Raises UserError for one that this machine does not have, or that
    the kernels asked for cannot use."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tensor = torch.empty(1, device=name)
    except (RuntimeError, AssertionError, ImportError):
        raise UserError(f"--device {name}: no such device here; --device cpu always works") \
            from None
    try:
        kernels.choose_backend(tensor)
    except (RuntimeError, ValueError) as error:     # KERNELS=triton and no GPU, KERNELS=abacus
        raise UserError(error) from None
    if tensor.is_cuda:
        make_gpu_repeatable()
    return tensor.device


def make_gpu_repeatable():
    """The same seed, the same bits, on a GPU too. Called before its first matrix product, as
    cuBLAS reads its variable once."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)    # else the compiled embedding adds
    torch.utils.deterministic.fill_uninitialized_memory = False     # up its gradient in any order


class Stopwatch:
    """`with stopwatch:` around training: its seconds alone, and meanwhile, by `measure`, what the
    machine does at best."""

    def __init__(self, device, seconds=0.0):
        self.device, self.seconds = device, seconds
        self.rates = []                     # a matter of the machine and the hour

    def __enter__(self):
        self.started = time.time()

    def __exit__(self, *_):
        self.seconds += time.time() - self.started

    def measure(self):
        self.rates.append(matmul_flops(self.device))

    def per_second(self, count):
        return count / max(1e-9, self.seconds)

    def speed(self, tokens, flops_per_token, processes=1):
        """The figures of a run that trained on so many tokens."""
        rates = self.rates or [matmul_flops(self.device)]
        rate = sum(rates) / len(rates)
        gpus = processes if self.device.type == "cuda" else 1       # each measured its own rate
        share = self.per_second(tokens) * flops_per_token / rate / gpus
        return {"tokens_per_second": self.per_second(tokens), "flops_per_token": flops_per_token,
                "matmul_flops_per_second": rate, "share_of_matmul_rate": share}


class Clock:
    """How far a run is: by its steps, or, with minutes, by the time since it started."""

    def __init__(self, steps, minutes, started, team):
        self.steps, self.minutes, self.started, self.team = steps, minutes, started, team
        self.progress = None

    def way(self, step):
        """The share that is over, 0 to 1; of several processes the first one's clock counts."""
        if not self.minutes:
            return step / self.steps
        minutes = (time.time() - self.started) / 60
        return self.team.agree(min(1.0, minutes / self.minutes), how="first")

    def over(self, step):
        return step > 0 and self.way(step) >= 1

    def start(self, step):
        """Where the line on screen begins, and its words: steps, or seconds."""
        done, total, name = step, self.steps, "step"
        if self.minutes:
            done, name = int(time.time() - self.started), "second"
            total = max(1, int(60 * self.minutes))
        self.progress = Progress(total, done, name)

    def report(self, step, over, **figures):
        total = self.progress.total
        done = int(time.time() - self.started) if self.minutes else step
        if self.team.rank == 0:
            self.progress.report(total if over else min(done, total - 1), **figures)


def matmul_flops(device, seconds=0.05):
    """Floating-point operations a second of matrix products here and now, in the dtype of the
    training: what the machine could do at best."""
    n, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    generator = torch.Generator(device).manual_seed(0)
    a = torch.randn(n, n, device=device, generator=generator).to(dtype)
    float((a @ a)[0, 0])                    # reading a number waits for a GPU to finish
    started, count = time.time(), 0
    while time.time() - started < seconds:
        float((a @ a)[0, 0])
        count += 1
    return count * 2 * n**3 / (time.time() - started)


class Team:
    """The processes of this run: one, or those that torchrun started. The first one speaks and
    writes; all draw the same batches, and each trains on its own rows of them."""

    def __init__(self, config):
        self.size = int(os.environ.get("WORLD_SIZE", 1))
        self.rank = int(os.environ.get("RANK", 0))
        if config.batch_size % self.size:
            raise UserError(f"--batch-size {config.batch_size} cannot be shared by {self.size} "
                            f"processes: give a multiple of {self.size}")
        if self.size > 1 and torch.cuda.is_available():     # before anything is put on a GPU
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        self.device = pick_device(config.device)
        if self.size > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
            self.patient = dist.new_group(backend="gloo", timeout=timedelta(days=7))

    def first_does(self, function, *arguments):
        """The first process runs the function, for days if need be; then the others do, and find
        its work done."""
        if self.rank > 0:
            dist.barrier(self.patient)
        answer = function(*arguments)
        if self.size > 1 and self.rank == 0:
            dist.barrier(self.patient)
        return answer

    def any(self, flag):
        """Is it true in one of the processes? Then all of them know."""
        return self.agree(float(bool(flag))) > 0

    def agree(self, value, how="mean"):
        """The mean of a float over the processes, or, with how="first", the first one's."""
        if self.size == 1:
            return value
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        shared = torch.tensor(value, dtype=dtype, device=self.device)
        if how == "first":
            dist.broadcast(shared, 0)
            return float(shared)
        dist.all_reduce(shared)
        return float(shared) / self.size

    def own(self, rows):
        """(B, ...) -> this process' share of the rows, on its device."""
        return rows[self.rank :: self.size].to(self.device)

    def network(self, model, loss, shape):
        """The model as it trains: compiled on a GPU, wrapped for several processes, and compiled
        before the clock of training starts, by one batch of zeros, shape (B, T), through `loss`."""
        on_gpu = self.device.type == "cuda"
        network = torch.compile(model) if on_gpu else model
        if self.size > 1:
            network = torch.nn.parallel.DistributedDataParallel(network)
        if on_gpu:
            zeros = torch.zeros(shape, dtype=torch.int64, device=self.device)
            with self.gradients(network, meet=False):
                with self.precision():
                    value = loss(network, zeros[: shape[0] // self.size])
                value.backward()
            model.zero_grad()
        return network

    def precision(self):
        """Context in which a GPU multiplies matrices in bfloat16; weights, optimizer and
        everything on a CPU stay float32."""
        on_gpu = self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on_gpu)

    def gradients(self, network, meet):
        """Context of a backward pass: do the processes' gradients meet in it, or later?"""
        return contextlib.nullcontext() if meet or self.size == 1 else network.no_sync()
