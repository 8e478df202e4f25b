"""Odd flags and commands."""

from odd.case import FINE, MISTAKE, QUICK, Case
from odd.tables import RUN, npz


def flag(flags: str, says: str, status: int = MISTAKE, name: str = "") -> Case:
    """Flags of a run on a bundled data set."""
    return Case(name or f"`{flags}`", f"run {QUICK} --dataset wine {flags}", status, says)


FLAGS = [
    flag("--budget 2", "--budget is 2; with 3 initial labels"),
    flag("--budget 1000000000", "--budget is 1000000000"),
    flag("--budget 100", "--budget is 100; it must be at most"),
    flag("--budget -5", "--budget is -5"),
    flag("--budget many", "Error parsing --budget"),
    flag("--bugdet 5", "Unrecognized options: --bugdet.*--budget INT"),
    flag("--seeds 0", "--seeds is 0"),
    flag("--seeds 1000000000", "--seeds is 1000000000"),
    flag("--first-seed 2147483647", "--first-seed is 2147483647"),
    flag("--starts 0", "--starts is 0"),
    flag("--strategies nonsense", "--strategies is 'nonsense'; it must be among"),
    flag("--distance x", "--distance is 'x'; it must be among"),
    flag("--reward x", "--reward is 'x'; it must be among"),
    flag("--noise 2", "--noise is 2.0; it must be between 0 and 1"),
    flag("--noise nan", "--noise is nan"),
    flag("--split.test 170", "rows asked for|leave none"),
    flag("--split.pool 3 --budget 5", "--budget is 5; it must be at most 3"),
    flag("--probe.l2 0", "--probe.l2 is 0.0"),
    flag("--out /proc/x", "(?i)/proc"),
    flag("--plugins none.py", "none.py: no such file"),
    flag("--train-on nonsense --strategies ddqn", "nonsense: no such data set"),
    flag(
        "--preset paper --strategies ddqn --train.episodes 300 --agent.replay-capacity 2000",
        "--train.episodes makes 300 episodes at once",
    ),
    flag("--encoder resnet18 --budget 4", "the encoder is not used", FINE, name="an encoder for features"),
    flag("--first-seed 7 --budget 4", "mean AULC", FINE, name="another first seed"),
    Case("an unknown command", "nonsense", MISTAKE, "unknown command 'nonsense'"),
    Case("a list of nothing", "list nonsense", MISTAKE, "nonsense"),
    Case("~ of nobody", f"{RUN} --dataset '~nosuchuser/a.npz'", MISTAKE, "nosuchuser"),
    Case("~ of nobody for the output", f"{RUN} --dataset wine --out '~nosuchuser/a'", MISTAKE, "no such home folder"),
    Case(
        "a folder that holds something else", f"{RUN} --dataset a.npz --out .", MISTAKE, "holds something else", npz()
    ),
    Case("nothing to resume", f"{RUN} --dataset a.npz --resume", MISTAKE, "nothing to resume", npz()),
    Case("a report of no run", "report none", MISTAKE, "none/results.json: no such file"),
]
