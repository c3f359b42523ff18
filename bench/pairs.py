# SPDX-License-Identifier: MIT
"""What the drivers beside this share: programs that print one line of JSON, run in turn, round by round, and compared by the
ratio to the native figure of the same round: geometric mean and 95 % interval (Student's t over the logarithms)."""
import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time

# Two-sided 95 % quantiles for 1, 2, … degrees of freedom; the last stands for all above.
T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110,
       2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 1.96]
NATIVE, AGAIN = "native", "native again"


def ratio(values, natives):
    """(geometric mean, lower end, upper end) of values[i] / natives[i]; the ends are None for one pair."""
    logs = [math.log(v / n) for v, n in zip(values, natives)]
    mean = sum(logs) / len(logs)
    if len(logs) < 2:
        return math.exp(mean), None, None
    spread = math.sqrt(sum((x - mean) ** 2 for x in logs) / (len(logs) - 1) / len(logs))
    spread *= T95[min(len(logs) - 2, len(T95) - 1)]
    return math.exp(mean), math.exp(mean - spread), math.exp(mean + spread)


def one(command):
    """A command's last line of JSON; the end of ours if there is none."""
    return many([command])[0]


def many(commands):
    """Of several at once. A program that says "ready" first is let go when all have."""
    programs = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for c in commands]
    if len(programs) > 1:
        for p in programs:
            while (line := p.stdout.readline()) and line.strip() != "ready":
                pass
    for p in programs[1:]:
        p.stdin.close()
        p.stdin = None
    results = []
    for p, command in zip(programs, commands):
        out, err = p.communicate()
        lines = [line for line in out.splitlines() if line.startswith("{")]
        if p.returncode or not lines:
            sys.exit(f"{os.path.basename(sys.argv[0])}: it ended with {p.returncode}: {' '.join(command)}\n{err[-2000:]}")
        results.append(json.loads(lines[-1]))
    return results


def rounds(ways, count, figures, measure=one):
    """`count` rounds, each way once a round, the first of a round last in the next; a list of {way: result}."""
    names, results = list(ways), []
    for n in range(count):
        turn = n % len(names)
        r = {way: measure(ways[way]) for way in names[turn:] + names[:turn]}
        results.append(r)
        print(f"round {n + 1}: " + "; ".join(f"{way} " + ", ".join(f"{r[way][key]:.4g}" for key in figures) for way in names), flush=True)
    return results


def table(results, figures):
    """Prints what figures names ({key: (title, whether more is better)}), each way beside native."""
    print(f"\n{len(results)} rounds in turn; of native: geometric mean of the ratios [95 % interval]; above 1 is better than native")
    for key, (title, more) in figures.items():
        natives = [r[NATIVE][key] for r in results]
        if not all(natives):
            continue
        print(f"{title:28} native {sorted(natives)[len(natives) // 2]:10.3f}")
        for way in results[0]:
            if way == NATIVE:
                continue
            values = [r[way][key] for r in results]
            mean, low, high = ratio(values, natives) if more else ratio(natives, values)
            ends = f" [{low:.3f}, {high:.3f}]" if low else ""
            print(f"    {way:24} {sorted(values)[len(values) // 2]:10.3f} = {mean:.3f} of native{ends}")


def counted(results):
    """Prints what a device of ours counted, each step's share: medians."""
    for way, first in results[0].items():
        for step in [key for key in first if key.startswith("counted_")]:
            steps = [r[way][step] for r in results]
            middle = {key: sorted(s[key] for s in steps)[len(steps) // 2] for key in steps[0]}
            print(f"{way}, {step.removeprefix('counted_')}: " + ", ".join(f"{key} {value:g}" for key, value in middle.items()))


def arguments(parser):
    """The options that all have; those behind -- are the program's own."""
    argv = sys.argv[1:]
    cut = argv.index("--") if "--" in argv else len(argv)
    repo = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--native", help="the native device's name")
    parser.add_argument("--program", help="the benchmark's program; without it all runs in the lab")
    parser.add_argument("--guest", help="the same in a folder without the GPU's library, as a guest has it")
    parser.add_argument("--build", default=f"{repo}/build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="file for all figures")
    parser.add_argument("--host", action="append", default=[], help="an option of `ggml-virtgpu run`")
    a = parser.parse_args(argv[:cut])
    a.build = os.environ["BUILD"] = os.path.realpath(a.build)
    a.options = argv[cut + 1:]
    a.lab = [] if a.program else [f"{repo}/lab/enter"]
    return a


def lab_program(a, name):
    """The program that lab/build-tools made, unless another was named."""
    return a.program or os.path.join(os.environ.get("LAB", f"{a.build}/lab"), "bin", name)


def run_command(a, guest):
    """`ggml-virtgpu run …` up to the program."""
    return [*a.lab, f"{a.build}/cli/ggml-virtgpu", "run", *a.host, "--", a.guest or guest]


@contextlib.contextmanager
def rpc_server(a, program, threads):
    """ggml-rpc's server (bench/rpcserver.c, beside the program) on the native device, while the benchmark runs; gives its address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    server = subprocess.Popen([*a.lab, os.path.join(os.path.dirname(program), "rpcserver"), "--threads", str(threads),
                               *(["--device", a.native] if a.native else []), address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        server.stdout.readline()  # it serves
        time.sleep(1)
        yield address
    finally:
        server.kill()
        server.wait()


def end(a, results, ok=True):
    if a.json:
        with open(a.json, "w") as f:
            json.dump(results, f, indent=1)
    sys.exit(0 if ok else 1)
