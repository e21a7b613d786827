"""How long the imports take that everybody waits for; prints the best of several fresh Pythons.

python benchmarks/import_time.py
Aim: `import covidseg` and `covidseg --help` well below a second; covidseg.nn adds under 0.3 s to torch.
"""

import subprocess
import sys
import time

TRIES = 5
CASES = {
    "python alone": "pass",
    "import covidseg": "import covidseg",
    "covidseg --help": "import sys, covidseg.cli; sys.exit(covidseg.cli.main(['--help']))",
    "import torch": "import torch",
    "import torch, covidseg.nn": "import torch, covidseg.nn",
}


def seconds(code: str) -> float:
    """Wall time of one fresh Python."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    for name, code in CASES.items():
        print(f"{name:<30} {min(seconds(code) for _ in range(TRIES)):6.3f} s")


if __name__ == "__main__":
    main()
