"""The command line, `vae-edu VERB`: verbs only, no logic.

What belongs here: one `_verb` function a verb, which declares its options and imports
the module that does the work only when the verb runs. What does not: the work.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from vae_edu.errors import CourseError

if TYPE_CHECKING:
    # argparse gives this type no public name.
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]
    Register = Callable[[Verbs], None]

__all__ = ["main"]

USER_ERROR = 2
INSTRUCTORS = ("vae_edu.build", "vae_edu.grading")
NOT_RELEASED = (
    "this verb belongs to the instructor's side, which a learner's copy does not have. "
    "Use a full checkout."
)


def _data(verbs: Verbs) -> None:
    parser = verbs.add_parser("data", help="get MNIST and check it, byte for byte")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--from",
        dest="source",
        metavar="DIR",
        help="import the four IDX files (gzipped or not) from DIR",
    )
    how.add_argument("--fetch", action="store_true", help="download, and only that")
    how.add_argument("--verify", action="store_true", help="check what is here")

    def run(args: argparse.Namespace) -> int:
        from vae_edu import data

        return data.command(args.source, fetch=args.fetch, verify=args.verify)

    parser.set_defaults(run=run)


def _doctor(verbs: Verbs) -> None:
    parser = verbs.add_parser("doctor", help="what works here, and what does not")
    parser.add_argument("--json", action="store_true", help="one JSON object")

    def run(args: argparse.Namespace) -> int:
        from vae_edu import doctor

        more: dict[str, doctor.Look] = {}
        with suppress(
            Exception
        ):  # a learner's copy has no grading; torch may be broken
            from vae_edu.grading.verdict import judge

            more = {"sandbox": judge.look_at_sandbox}
        if doctor.course_here() is not None:
            more["course"] = doctor.look_at_course
        return doctor.command(as_json=args.json, more=more)

    parser.set_defaults(run=run)


def _build(verbs: Verbs) -> None:
    parser = verbs.add_parser("build", help="build notebooks, stubs and numbers")
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="default: all")
    parser.add_argument("--to", metavar="DIR", help="another folder than the checkout")
    parser.add_argument(
        "--no-execute", action="store_true", help="keep the outputs that are there"
    )
    parser.add_argument(
        "--new", metavar="NN_TOPIC", help="the files of a new lesson, to be filled"
    )

    def run(args: argparse.Namespace) -> int:
        from vae_edu.build import course, new

        if args.new is not None and (args.lessons or args.to):
            raise CourseError("--new stands alone: it builds nothing.")
        if args.new is not None:
            return new.command(args.new)
        return course.command(args.lessons, args.to, execute=not args.no_execute)

    parser.set_defaults(run=run)


def _progress(verbs: Verbs) -> None:
    parser = verbs.add_parser("progress", help="what is right, wrong and open in work/")

    def run(args: argparse.Namespace) -> int:
        from vae_edu.standing import progress

        print(progress())
        return 0

    parser.set_defaults(run=run)


def _judge(verbs: Verbs) -> None:
    parser = verbs.add_parser("judge", help="judge answers by public and hidden laws")
    parser.add_argument(
        "answers", nargs="+", metavar="ANSWERS", help="files or folders"
    )
    parser.add_argument("--exercise", metavar="NAME", help="judge this one only")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--seed", default="judge", help="draws the inputs")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="time for each law (default 20)"
    )
    parser.add_argument(
        "--unsafe-no-sandbox",
        action="store_true",
        help="run the answers with your own rights: only what you wrote yourself",
    )

    parser.set_defaults(run=_run_judge)


def _run_judge(args: argparse.Namespace) -> int:
    policy = "off" if args.unsafe_no_sandbox else "prefer"
    with _zygote_ahead(policy):
        from vae_edu.grading.verdict import judge

        return judge.command(
            args.answers,
            args.exercise,
            as_json=args.json,
            seed=args.seed,
            seconds=args.seconds,
            policy=policy,
        )


@contextmanager
def _zygote_ahead(policy: str) -> Iterator[None]:
    """The process for learners' code starts while this one imports torch."""
    from vae_edu.grading.wall import start

    start.early(policy)
    try:
        yield
    finally:
        start.unused()


def _demo(verbs: Verbs) -> None:
    parser = verbs.add_parser("demo", help="a small class, from release to gradebook")
    parser.add_argument("--keep", metavar="DIR", help="a new folder to leave it in")

    def run(args: argparse.Namespace) -> int:
        from vae_edu.grading.office import demo

        return demo.command(args.keep)

    parser.set_defaults(run=run)


def _release(verbs: Verbs) -> None:
    parser = verbs.add_parser("release", help="write what learners get to a folder")
    parser.add_argument("--to", required=True, metavar="DIR", help="new or empty")

    def run(args: argparse.Namespace) -> int:
        from vae_edu.build import release

        return release.command(args.to)

    parser.set_defaults(run=run)


def _grade(verbs: Verbs) -> None:
    parser = verbs.add_parser("grade", help="grade a lesson's submissions")
    parser.add_argument("lesson", metavar="LESSON")
    parser.add_argument(
        "--course", metavar="DIR", help="the nbgrader course (default: where you are)"
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="DIR",
        help="take in an LMS's download first: a folder, or its .zip",
    )
    parser.add_argument(
        "--student", action="append", default=[], metavar="ID", help="only these"
    )
    _add_scale(parser)
    _add_judging(parser)
    parser.set_defaults(run=_run_grade)


def _add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, metavar="N", help="default: as many as pay")
    parser.add_argument("--shard", metavar="i/N", help="the i-th of N parts, from 1")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="a Dask cluster, tcp://host:8786"
    )


def _add_judging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--regrade", action="store_true", help="judge anew what has a grade already"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="time for each law (default 10)"
    )
    parser.add_argument(
        "--unsafe-no-sandbox",
        action="store_true",
        help="run submissions with your own rights; each grade says so",
    )


def _run_grade(args: argparse.Namespace) -> int:
    policy = "off" if args.unsafe_no_sandbox else "require"
    here = args.scheduler is None and args.jobs in (None, 1)
    with _zygote_ahead(policy) if here else nullcontext():
        return _graded(args, policy)


def _graded(args: argparse.Namespace, policy: str) -> int:
    from vae_edu.grading.office import batch, collect, summary

    course, remarks = collect.course_folder(args.course), summary.NO_REMARKS
    if args.source is not None:
        remarks = collect.take_in(args.source, course, args.lesson)
    return batch.command(
        args.lesson,
        course=course,
        students=args.student,
        jobs=args.jobs,
        shard=args.shard,
        scheduler=args.scheduler,
        again=args.regrade,
        seconds=args.seconds,
        policy=policy,
        remarks=remarks,
    )


def _gradescope(verbs: Verbs) -> None:
    parser = verbs.add_parser("gradescope", help="write an autograder to upload there")
    parser.add_argument("lesson", metavar="LESSON")
    parser.add_argument("--to", required=True, metavar="FILE.zip")
    parser.add_argument(
        "--unsafe-no-sandbox",
        action="store_true",
        help="where the container allows none: answers could read the hidden laws",
    )

    def run(args: argparse.Namespace) -> int:
        from vae_edu.grading.office import gradescope

        policy = "off" if args.unsafe_no_sandbox else "require"
        return gradescope.command(args.lesson, args.to, policy)

    parser.set_defaults(run=run)


def _similar(verbs: Verbs) -> None:
    parser = verbs.add_parser("similar", help="answers that are suspiciously alike")
    parser.add_argument("lesson", metavar="LESSON")
    parser.add_argument(
        "--from", dest="source", metavar="DIR", help="notebooks (default: submitted/)"
    )
    parser.add_argument(
        "--course", metavar="DIR", help="the nbgrader course (default: where you are)"
    )
    parser.add_argument(
        "--top", type=int, default=20, metavar="N", help="pairs listed (default 20)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")

    def run(args: argparse.Namespace) -> int:
        from vae_edu.grading.office import similar

        return similar.command(
            args.lesson,
            args.source,
            args.top,
            as_json=args.json,
            course=args.course,
        )

    parser.set_defaults(run=run)


def _train(verbs: Verbs) -> None:
    parser = verbs.add_parser("train", help="train a VAE and write its run folder")
    parser.add_argument("name", help="of the run; the same name resumes it")
    models = ("own", "mlp", "one_layer", "two_layers")
    parser.add_argument(
        "--model", choices=models, default="own", help="default: the VAE you wrote"
    )
    parser.add_argument("--hidden-dim", type=int, default=400, metavar="N")
    parser.add_argument("--latent-dim", type=int, default=20, metavar="N")
    parser.add_argument(
        "--data", choices=("auto", "mnist", "digits"), default="auto", dest="dataset"
    )
    parser.add_argument("--test-samples", type=int, default=5000, metavar="K")
    parser.add_argument("--test-images", type=int, metavar="N", help="default: all")
    parser.add_argument("--log-dir", metavar="DIR", help="for TensorBoard")
    _train_settings(parser)
    parser.set_defaults(run=_run_train)


def _train_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, default=20, metavar="N")
    parser.add_argument("--batch-size", type=int, default=256, metavar="N")
    parser.add_argument("--learning-rate", type=float, default=2e-3, metavar="X")
    parser.add_argument("--beta", type=float, default=1.0, metavar="X")
    objectives = ("elbo", "iwae", "dreg")
    parser.add_argument("--objective", choices=objectives, default="elbo")
    parser.add_argument("--num-samples", type=int, default=1, metavar="K")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="cuda, mps, cpu or auto")


def _run_train(args: argparse.Namespace) -> int:
    from vae_edu import launch
    from vae_edu.train import TrainConfig

    request = launch.Request(**_named(args, launch.Request))
    return launch.command(request, TrainConfig(**_named(args, TrainConfig)))


def _named(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """The options that are fields of a dataclass."""
    fields = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return {key: value for key, value in vars(args).items() if key in fields}


def _evaluate(verbs: Verbs) -> None:
    parser = verbs.add_parser(
        "evaluate", help="recompute a run's numbers from its weights"
    )
    parser.add_argument("folder", metavar="RUN", help="a run folder")
    parser.add_argument(
        "--spot", type=int, metavar="N", help="on N test images, drawn at random"
    )
    parser.add_argument("--device", default="auto", help="cuda, mps, cpu or auto")

    def run(args: argparse.Namespace) -> int:
        from vae_edu import runs

        return runs.command(args.folder, args.spot, args.device)

    parser.set_defaults(run=run)


def _reproduce(verbs: Verbs) -> None:
    parser = verbs.add_parser("reproduce", help="a published table, beside ours")
    parser.add_argument("table", choices=("burda",), help="Burda et al. 2016, table 1")
    parser.add_argument(
        "--row", action="append", dest="rows", metavar="ROW", help="default: four"
    )
    setting = parser.add_mutually_exclusive_group()
    setting.add_argument(
        "--paper", action="store_const", const="paper", dest="setting", default="fast"
    )
    setting.add_argument(
        "--fast", action="store_const", const="fast", dest="setting", help="default"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument(
        "--budget", type=int, metavar="EPOCHS", help="fewer; the card will say so"
    )
    parser.add_argument("--device", default="auto", help="cuda, mps, cpu or auto")
    parser.add_argument("--to", metavar="DIR", help="default: the folder of runs")
    parser.set_defaults(run=_run_reproduce)


def _run_reproduce(args: argparse.Namespace) -> int:
    from vae_edu import reproduce

    return reproduce.command(reproduce.Plan(**_named(args, reproduce.Plan)), args.to)


VERBS: tuple[Register, ...] = (
    *(_data, _doctor, _progress, _train, _evaluate, _reproduce),
    *(_judge, _release, _grade, _similar, _gradescope, _demo, _build),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every verb of `VERBS` in it."""
    parser = argparse.ArgumentParser(
        prog="vae-edu",
        description="Derive a VAE, implement it, have each step checked.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for register in VERBS:
        register(verbs)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status (2: the user can put it right)."""
    args = build_parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except CourseError as error:
        print(f"vae-edu: {error}", file=sys.stderr)
        return USER_ERROR
    except OSError as error:
        print(f"vae-edu: {_words_of(error)}", file=sys.stderr)
        return USER_ERROR
    except ModuleNotFoundError as error:
        if str(error.name) not in INSTRUCTORS:
            raise
        print(f"vae-edu: {NOT_RELEASED}", file=sys.stderr)
        return USER_ERROR
    return status


def _words_of(error: OSError) -> str:
    """What a user can put right; raises what is none of that."""
    if error.filename is not None:
        name, why = os.fspath(error.filename), error.strerror
        return f"{name} cannot be read or written: {why}."
    if "temporary directory" in str(error):  # Python's `tempfile` says which it tried
        return f"{error.strerror}. Free some space there, or name a folder in TMPDIR."
    raise error


if __name__ == "__main__":
    sys.exit(main())
