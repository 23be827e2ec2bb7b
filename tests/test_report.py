"""The report: what it says equals what is computed, it is well-formed, loads nothing, escapes names; a browser shows it in silence."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from conftest import lively, random_samples
from typer.testing import CliRunner

import tp_lava as tpl
from tp_lava import cli
from tp_lava.deploy.loihi2 import Limits
from tp_lava.graph.connections import Convolution
from tp_lava.graph.network import Layer
from tp_lava.provenance import ParameterRecord, Provenance
from tp_lava.ranges import LOIHI, Entry, RangeReport, check_ranges
from tp_lava.report import gather, render, write_report
from tp_lava.report.page import rough, short, span, thousands

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = '<script>alert("1")</script>&"\''
VOID = {"meta", "link", "br", "hr", "img", "input"}
SECTIONS = (
    *("architecture", "placement", "violations", "bits", "accuracy", "operations", "memory", "energy", "distributions", "raster"),
    *("limits", "provenance", "made", "sources"),
)


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a start"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style",):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def network():
    made = lively(tpl.Network.dense((12, 9, 7, 4), recurrent=(True, False), seed=1))
    records = (ParameterRecord("lif<1>", "tau & co", "rescaled", HOSTILE), ParameterRecord("fc", "weight", "kept"))
    return tpl.Network.of_layers(made.n_inputs, made.layers, made.n_classes, made.weights, provenance=Provenance(HOSTILE, records))


@pytest.fixture(scope="module")
def facts():
    rng = np.random.default_rng(7)
    limits = Limits().replace(neurons_per_core=12, cores_per_chip=2, state_per_neuron=40, boards={HOSTILE: 1, "Roomy": 9})
    entries = (
        Entry("hidden0", "", "hidden0_membrane", -12345, 12345, "s24.14", 15, 9),
        Entry("hidden0", "hidden0_neuron", "%7", -5, 5, "s24.14", 4, 20, note="left out"),
        Entry("hidden0", "hidden0_neuron", HOSTILE, 0, 2**40, "s32.8", 41, -9, "error", "use one bit less"),
    )
    found = gather(
        network(),
        random_samples(rng, 6, 12, 4, n_steps=10, rate=0.3),
        name=HOSTILE,
        rule=tpl.TP(contrast=2),
        counted=3,
        limits=limits,
        made_by={"command": f"tp-lava report '{HOSTILE}'", "seed": 0},
    )
    assert found.ranges == check_ranges(network(), tpl.TP(contrast=2), steps=10, limits=LOIHI, strict=False)
    return replace(found, ranges=RangeReport(entries, 10, True))


@pytest.fixture(scope="module")
def html(facts):
    return render(facts)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


# What it says -------------------------------------------------------------------------------------


def test_every_section_is_there_and_can_be_reached(page):
    headings = [attributes.get("id") for attributes in page.all("h2")]
    assert headings == list(SECTIONS)
    assert [a["href"] for a in page.all("a") if a["href"][1:] in SECTIONS] == [f"#{name}" for name in SECTIONS]


def test_headings_are_in_order(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_numbers_are_those_computed(facts, page):
    mapping, text = facts.mapping, page.text
    for row in mapping.rows():
        for number in (row["neurons"], row["compartments"], row["cores"], row["synapses"]):
            assert f" {number:,} " in text
        assert f"{row['bytes']['synapses'] / 1024:.1f}" in text
    for processor in mapping.processors:
        for task in processor.tasks:
            assert f"{task.name} {task.operations:,} {task.words_in:,} {task.words_out:,} {task.memory:,}" in text
    for counts in (facts.inference, facts.learning):
        assert thousands(counts.of_layer(0, "synaptic")) in text
        assert thousands(counts.mean("credit")) in text
    assert thousands(facts.learning.of_layer(1, "updates")) in text
    for estimate in facts.estimates:
        assert f"a sample {rough(*estimate.microjoules)}" in text
        assert f"a sample of 10 steps {rough(*estimate.microseconds)}" in text
        for line in estimate.energy:
            assert line.name in text
    for row in facts.memory:
        assert f"{sum(row.formula):,}" in text
    assert f"{100 * facts.accuracy[1]:.1f} % in fixed point" in text
    assert "estimate, not a measurement" in text


def test_accuracy_is_the_learners(facts):
    rng = np.random.default_rng(7)
    samples = random_samples(rng, 6, 12, 4, n_steps=10, rate=0.3)
    float_, fixed = (tpl.Learner(network(), tpl.TP(contrast=2), precision) for precision in ("float", "fixed"))
    assert facts.accuracy == (float_.evaluate(samples), fixed.evaluate(samples))
    assert (facts.tested, facts.which_tested) == (6, "6 samples")
    assert len(facts.inference.samples) == 3


def test_violations_are_all_told(facts, page):
    assert facts.mapping.violations
    assert f"{len(facts.mapping.violations)} broken" in page.text
    for violation in facts.mapping.violations:
        assert f"{violation.rule}, {violation.used:,} of at most {violation.maximum:,} {violation.unit}" in page.text
        assert violation.remedy in page.text


def test_limits_carry_certainty_and_a_numbered_source(facts, page):
    for name, limit in facts.mapping.limits.named.items():
        assert f"{name.replace('_', ' ')} {limit.value:,} {limit.unit} {limit.certainty}" in page.text
    listed = [li["id"] for li in page.all("li") if li.get("id", "").startswith("source-")]
    assert listed == [f"source-{n + 1}" for n in range(len(listed))]
    marks = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#source-")}
    assert marks == set(listed)
    for source in {limit.source for limit in facts.mapping.limits.named.values() if limit.source}:
        assert source in page.text


def test_ranges_show_what_is_kept_and_what_does_not_fit(page):
    assert "hidden0_membrane -12,345 12,345 s24.14 15 fits" in page.text
    assert "left out" not in page.text
    assert "1,099,511,627,776 s32.8 41 error use one bit less" in page.text
    assert "at most 10 steps, whatever is learned: 2 values are proven to fit where they are held, 1 does not, and none may" in page.text


def test_provenance_and_configuration_are_printed(facts, page):
    assert "lif<1> tau & co rescaled" in page.text
    assert repr(facts.rule) in page.text
    assert repr(facts.fixed) in page.text
    for package in ("Python", "numpy", "tp-lava"):
        assert f"{package} {facts.versions[package]}" in page.text


def test_the_same_facts_give_the_same_bytes(facts, html):
    assert render(facts) == html


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0"), (1234.6, "1,235"), (99.96, "100"), (0.01234, "0.0123"), (12.3456, "12.3"), (-5.678, "-5.68")]
)
def test_short_numbers(value, told):
    assert short(value) == told


def test_spans():
    assert span(1, 1) == "1"
    assert span(1234, 5678.9) == "1,234 to 5,679"
    assert rough(1234, 5678.9) == "1,200 to 5,700"
    assert rough(1234, 1239) == "1,200"


# What it is ---------------------------------------------------------------------------------------


def test_nothing_is_loaded_from_elsewhere(html, page):
    for tag, attributes in page.elements:
        if tag == "a":
            continue
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, name, value)
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script")
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)


def test_hostile_names_are_escaped(html, page):
    assert "<script" not in html
    assert HOSTILE in page.text
    assert page.all("title")


def test_classes_have_their_names_where_the_network_has_them(facts, page):
    assert f"of class {facts.shown_label}, in fixed point" in page.text
    named = replace(facts, network=replace(facts.network, class_names=tuple(f"<{number}>" for number in range(facts.network.n_classes))))
    assert f"of class &lt;{facts.shown_label}&gt;, in fixed point" in render(named)


def test_identifiers_are_unique(page):
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = set(re.findall(r"url\(#([^)]*)\)", "".join(str(a) for _, a in page.elements)))
    assert used <= set(identifiers)


def test_pictures_have_words_and_the_page_a_language(page):
    pictures = [attributes for attributes in page.all("svg") if attributes.get("role") == "img"]
    assert len(pictures) == len(page.all("svg")) >= 12
    assert all(attributes["aria-label"] for attributes in pictures)
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert all("aria-label" in div for div in page.all("div") if div.get("role") == "region")


def test_every_chip_and_core_is_drawn(facts, html):
    assert html.count('class="cores"') == len(facts.mapping.chips)
    for core in facts.mapping.cores:
        assert f"core {core.number}: {core.layer}, neurons {core.first} to {core.last - 1}" in html


def test_many_chips_are_told_rather_than_drawn():
    rng = np.random.default_rng(0)
    limits = Limits().replace(neurons_per_core=1, cores_per_chip=1)
    samples = random_samples(rng, 2, 12, 4, n_steps=4)
    found = gather(lively(tpl.Network.dense((12, 11, 4), seed=1)), samples, counted=1, limits=limits, board="VPX")
    text = render(found)
    assert text.count('class="cores"') == 8
    assert "3 more chips are not drawn" in text
    assert "None, as far as limits are public" in text
    assert "plastic updates" not in text
    assert "Made in tp_lava" in text
    membrane = next(entry for entry in found.ranges.entries if entry.name == "hidden0_membrane")
    assert f"hidden0_membrane {membrane.low:,} {membrane.high:,} {membrane.format} {membrane.bits_used}" in Page(text).text
    assert "samples of at most 4 steps: " in text


def test_the_template_is_package_data():
    for name in ("page.html.jinja", "drawings.svg.jinja", "style.css"):
        assert files("tp_lava.report").joinpath(name).is_file()


def test_text_and_its_ground_differ_enough():
    """WCAG's contrast of 4.5 for every colour that words have, on white and on the pale ground."""
    style = files("tp_lava.report").joinpath("style.css").read_text("utf-8")
    colours = dict(re.findall(r"--(\w+): #(\w{6})", style))

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name in ("ink", "muted", "link", "bad"):
        for ground in ("ffffff", colours["pale"]):
            assert (luminance(ground) + 0.05) / (luminance(colours[name]) + 0.05) >= 4.5, name


# Errors, command line, browser --------------------------------------------------------------------


def test_errors(tmp_path, rng):
    made = tpl.Network.dense((12, 9, 4))
    with pytest.raises(tpl.InvalidValueError, match="report: samples is empty"):
        write_report(made, [], tmp_path / "r.html")
    with pytest.raises(tpl.InvalidValueError, match="precision is float, but must be fixed"):
        write_report(tpl.Learner(made), random_samples(rng, 1, 12, 4), tmp_path / "r.html")
    with pytest.raises(tpl.InvalidValueError, match="must be of the network's 12 inputs"):
        write_report(made, random_samples(rng, 1, 13, 4), tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_a_learner_reports_the_weights_it_has_learned(rng):
    samples = random_samples(rng, 3, 12, 4, n_steps=10, rate=0.3)
    learner = tpl.Learner(network(), tpl.TP(contrast=2), "fixed")
    learner.fit(samples)
    found = gather(learner, samples, counted=1)
    np.testing.assert_array_equal(found.held["hidden0"][1], learner.weights["hidden0"])
    assert learner.samples_seen == 3


def run(*arguments):
    return CliRunner().invoke(cli.app, [*map(str, arguments)])


def test_the_command_line_writes_a_page(tmp_path):
    out = tmp_path / "made" / "report.html"
    done = run("report", "digits", "--samples", 4, "--counted", 1, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.parent.iterdir()} == {"report.html", "report.toml"}
    html = out.read_text("utf-8")
    assert html.startswith("<!DOCTYPE html>")
    text = Page(html).text
    assert "tp-lava report digits --data digits --samples 4 --counted 1 --seed 0" in text
    told = json.loads(done.stdout)
    assert (told["accuracy"]["samples"], told["accuracy"]["of"]) == (4, 397)
    assert text.count("the first 4 of 397 samples") == 2  # the headline too
    assert told["mapping"]["violations"] == []
    assert f"{100 * told['accuracy']['fixed']:.1f} % in fixed point" in text


def test_the_command_line_refuses(tmp_path):
    assert run("report", "digits", "--out", tmp_path).exit_code == 2
    out = ("--out", tmp_path / "report.html")
    for wrong, told in (
        (["nothing.tplava"], "nothing.tplava: no such file"),
        (["digits", "--data", "x.csv"], "data: name is 'x.csv'"),
        (["digits", "--board", "Loihi 9"], "board is 'Loihi 9', but must be one of Oheo Gulch"),
        (["digits", "--rate", "0.1"], "report: rate is given without a rule"),
    ):
        done = run("report", *wrong, *out)
        assert done.exit_code
        assert told in str(done.exception)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium")
def test_a_browser_shows_it_without_a_word(html, tmp_path):
    """At the width of a desk and of a phone: nothing on the console, no page wider than its window, every section laid out."""
    (tmp_path / "report.html").write_text(html, "utf-8")
    frames = "".join(f'<iframe src="report.html" style="width:{width}px;height:900px"></iframe>' for width in (1280, 390))
    script = """onload = () => { document.body.dataset.widths = JSON.stringify([...document.querySelectorAll("iframe")].map(f => {
        const d = f.contentDocument; return [d.documentElement.scrollWidth, d.documentElement.clientWidth,
        [...d.querySelectorAll("h2, svg")].filter(e => !e.getBoundingClientRect().width).length]; })); }"""
    (tmp_path / "frames.html").write_text(f"<!DOCTYPE html><body>{frames}<script>{script}</script></body>")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--allow-file-access-from-files"]
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=4000", "--dump-dom"]
    done = subprocess.run([*command, (tmp_path / "frames.html").as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'data-widths="([^"]*)"', done.stdout)
    assert found, done.stdout[-2000:]
    for (scroll, client, empty), width in zip(json.loads(found[1]), (1280, 390), strict=True):
        assert scroll <= client <= width
        assert empty == 0


def test_a_convolution_and_a_third_layer_are_drawn(rng):
    spatial = Convolution((1, 4, 4), 2, (3, 3), padding=(1, 1))
    layers = Layer(spatial.size, tpl.LIF(), connection=spatial), Layer(5, tpl.LIF(), recurrent=True)
    shapes = {"hidden0": (2, 1, 3, 3), "hidden1": (5, 32), "recurrent1": (5, 5), "readout": (3, 5)}
    made = tpl.Network.of_layers(16, layers, 3, {name: np.ones(shape) for name, shape in shapes.items()})
    page = render(gather(made, random_samples(rng, 1, 16, 3, n_steps=3), counted=1))
    drawing = re.search(r'<svg class="drawing".*?</svg>', page, re.DOTALL)[0]
    assert ">3 x 3 convolution<" in drawing
    assert f">{len(spatial.synapses().targets)} synapses, 8 bits<" in drawing
    assert drawing.count(" C ") == 1  # the feedback of hidden1
    assert "credit" not in drawing


def test_a_network_that_pools_and_learns_is_told(rng):
    layers = [tpl.Conv2d(3, 3, padding=1, gain=4), tpl.MaxPool2d(2), tpl.Dense(6, gain=4)]
    network = tpl.Network.sequential((1, 6, 6), layers, 4, seed=1)
    page = render(gather(tpl.Learner(network, tpl.TP(0.1, 0.1, 2), "fixed"), random_samples(rng, 2, 36, 4, n_steps=6, rate=0.3)))
    assert "hidden0_pooled pools by OR" in page
    assert ">972 synapses, 8 bits<" not in page  # those beyond the edges are none
    assert ">768 synapses, 8 bits<" in page
    assert "network.unshare(&#34;hidden0&#34;)" in page
    assert "raster-hidden0_pooled" not in page
