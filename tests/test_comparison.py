"""Rules compared: the table, its figures' meaning, what is chosen by name, and the command."""

import json

import pytest
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava.cli import app
from tp_lava.comparison import BENCHMARKS, VARIANTS, Measured, Row, Work, _rows, grid, variant_named
from tp_lava.comparison.report import chosen_benchmark, chosen_variants, table
from tp_lava.data import digits
from tp_lava.graph.network import Network
from tp_lava.rules.memory import bptt, counted


@pytest.mark.filterwarnings("ignore:.*basis gives:UserWarning")
@pytest.mark.parametrize("sizes", [(30, 12, 4), (30, 12, 9, 4)], ids=["1 layer", "2 layers"])
@pytest.mark.parametrize(
    "variant", [variant for variant in VARIANTS if isinstance(variant.rule, tpl.TP | tpl.TESS)], ids=lambda variant: variant.name
)
def test_formulas_count_what_the_circuit_holds(variant, sizes):
    network, batch = Network.dense(sizes), 5 if variant.how == "batch" else 1
    rule = variant.rule_for(BENCHMARKS["digits"])
    assert rule.remembered(network, 20, batch) == counted(network, rule, batch)


def test_backpropagation_keeps_about_what_the_formula_says():
    pytest.importorskip("torch")
    from tp_lava.comparison.measure import _saved

    samples, network = digits()[0][:20], Network.dense((512, 200, 10))
    (formula,) = bptt(network, 60, 20)
    assert _saved(network, samples)[0] == pytest.approx(formula, rel=0.1)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """One form over two seeds, each in a process of its own: the command's folder and what it printed."""
    folder = tmp_path_factory.mktemp("compared") / "out"
    size = ["--epochs", "1", "--train", "30", "--test", "20", "--seeds", "2", "--processes", "2"]
    done = CliRunner().invoke(app, ["compare-rules", "--form", "K = 2", *size, "--no-progress", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_runs_are_what_the_learner_does(compared):
    (row,) = json.loads((compared[0] / "digits.json").read_text())["rows"]
    benchmark, variant = chosen_benchmark("digits", None, epochs=1, train=30, test=20), variant_named("TP, K = 2")
    train, test = benchmark.samples(1)
    learner = tpl.Learner(benchmark.network(512, 10, 1), variant.rule_for(benchmark), seed=1, schedule=tpl.Cosine(1))
    learner.fit(train)
    assert len(row["accuracies"]) == 2
    assert row["accuracies"][1] == learner.evaluate(test)
    assert row["milliseconds"] > 0
    assert 50 < row["megabytes"] < 2000
    assert row["formula"] == row["counted"] == [200 * 5 + 2 * 10 + 10 * 200]


def test_runs_are_gathered_by_form():
    """By seed within a form; the quickest run's time, the largest's memory."""
    variants = [variant_named("frozen hidden layer"), variant_named("TP, K = 2")]
    kinds = [(variant.name, seed) for seed in range(2) for variant in variants]
    results = {kind: Measured((0.15, n / 10), 4 - n, n, (n % 2,), (n % 2 + 5,)) for n, kind in enumerate(kinds)}
    assert list(_rows(variants, results, 2)) == [
        Row("frozen hidden layer", (0.0, 0.2), (0.15, 0.2), 2000, 2, (0,), (5,)),
        Row("TP, K = 2", (0.1, 0.3), (0.15, 0.3), 1000, 3, (1,), (6,)),
    ]


def test_a_row_sums_up():
    row = Row("any", (0.5, 0.7), (0.6, 0.8), 1.0, 2.0, (3,), (4,), Work(5.0, 6.0, 7.0))
    assert (row.mean, row.std, row.best_mean) == (pytest.approx(0.6), pytest.approx(0.1), pytest.approx(0.7))
    assert row.to_dict()["work"] == {"updates": 5.0, "spikes": 6.0, "messages": 7.0}
    (cells, _) = table([row, Row("frozen hidden layer", (0.5,), (0.5,), 1.0, 2.0, (3,), (4,))])
    assert (cells["last epoch"], cells["best"], cells["above frozen"]) == ("0.600 ± 0.100", "0.700", "+0.100")
    assert (cells["updates"], cells["messages"]) == ("5", "7")
    assert row.to_dict()["mean"] == row.mean


def test_the_command(compared):
    folder, printed = compared
    assert "TP, K = 2" in printed
    written = json.loads((folder / "digits.json").read_text())
    assert [row["form"] for row in written["rows"]] == ["TP, K = 2"]
    assert (folder / "digits.md").read_text().count("\n") == 3
    assert (folder / "digits.png").stat().st_size > 1000


def test_the_command_as_json_and_from_what_it_wrote(tmp_path, monkeypatch):
    asked = []

    def compared(benchmark, variants, seeds, processes, progress):
        asked.append((benchmark.epochs, benchmark.n_train, [variant.name for variant in variants], seeds))
        return [Row(variant.name, (0.5, 0.7), (0.5, 0.7), 1.0, 2.0, (3,), (4,)) for variant in variants]

    monkeypatch.setattr("tp_lava.comparison.compare", compared)
    options = ["--epochs", "2", "--train", "20", "--form", "K = 2", "--form", "K = 4", "--seeds", "2", "--json"]
    first = CliRunner().invoke(app, ["compare-rules", *options, "--out", str(tmp_path / "a")])
    again = CliRunner().invoke(
        app, ["compare-rules", "--config", str(tmp_path / "a" / "config.toml"), "--out", str(tmp_path / "b"), "--json"]
    )
    told, repeated = json.loads(first.stdout), json.loads(again.stdout)
    assert [row["mean"] for row in told["rows"]] == [pytest.approx(0.6)] * len(told["rows"])
    assert (told["config"], told["rows"]) == (repeated["config"], repeated["rows"])
    assert asked[0] == asked[1]
    assert asked[0][:2] == (2, 20)
    assert (tmp_path / "a" / "config.toml").read_bytes() == (tmp_path / "b" / "config.toml").read_bytes()


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (
            lambda: chosen_benchmark("mnist", None, 1, None, None),
            "compare-rules: data is 'mnist', but must be one of digits, nmnist, spoken, commands",
        ),
        (lambda: chosen_benchmark("nmnist", None, 1, None, None), "compare-rules: recordings is None, but must be the file of nmnist"),
        (lambda: BENCHMARKS["spoken"].samples(0), "compare-rules: recordings is None, but must be the file of spoken"),
        (lambda: chosen_variants(["hebb"]), "compare-rules: form is hebb, but must be part of a form's name; the forms are frozen"),
        (lambda: variant_named("hebb"), "compare-rules: form is 'hebb', but must be one of frozen hidden layer"),
    ],
)
def test_impossible_choices(choose, message):
    with pytest.raises(tpl.InvalidValueError, match=message):
        choose()


def test_every_credit_goes_with_every_product():
    """They build, and a local one's work can be counted; of what a credit does not go with there is no variant."""
    from tp_lava.comparison.measure import _work

    samples = digits()[0][:2]
    built = [variant for variant in grid() if not variant.frozen]
    assert len(built) > 20
    for variant in built:
        network = Network.dense((512, 12, 10), delays=None)
        rule = variant.rule_for(BENCHMARKS["digits"])
        if rule.local:
            assert _work(network, rule, samples).updates > 0, variant.name
        else:
            tpl.Learner(network, rule).learn(*samples[0])


def test_without_torch_its_forms_are_left_out(monkeypatch):
    monkeypatch.setattr("tp_lava.comparison.report.find_spec", lambda name: None)
    assert not any(variant.in_torch for variant in chosen_variants([]))
    with pytest.raises(tpl.InvalidValueError, match=r'install PyTorch: pip install "tp-lava\[torch\]"'):
        chosen_variants(["bptt"])


def test_what_was_measured_is_packaged():
    from tp_lava.comparison import measured

    for name in ("digits", "digits50", "nmnist", "spoken"):
        rows = {row["form"]: row["mean"] for row in measured(name)["rows"]}
        assert rows["TP, K = 4"] > rows["frozen hidden layer"]
    with pytest.raises(tpl.InvalidValueError, match="measured: name is 'mnist', but must be one of digits, digits50, nmnist, spoken"):
        measured("mnist")
