"""Pictures: what is drawn is what was given, on the Axes that was given; wrong input is refused by name."""

import inspect

import numpy as np
import pytest
from conftest import lively, random_events
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import tp_lava as tpl
from tp_lava import plots
from tp_lava.numbers import Format

DRAWN = {name: draw for name, draw in vars(plots).items() if inspect.isfunction(draw)}


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.fixture(scope="module")
def network():
    return lively(tpl.Network.dense((10, 8, 6, 4), recurrent=(True, False), seed=2), 2.5)


@pytest.fixture(scope="module")
def both(network):
    """A sample in float and in 2 bits, and where these part."""
    events = random_events(np.random.default_rng(5), 10, 20, 0.3)
    a, b = tpl.Learner(network), tpl.Learner(network, precision=tpl.FixedPoint(weight_bits=2))
    return tpl.diverge(a, b, [events]), a.infer(events, record=True), b.infer(events, record=True)


def line(axes, number=0):
    return tuple(np.asarray(data) for data in axes.lines[number].get_data())


def widths(axes):
    return [bar.get_width() for bar in axes.patches]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


# What all share -------------------------------------------------------------------------------------
def test_every_picture_takes_axes_first_and_refuses_anything_else():
    assert len(DRAWN) >= 19
    for name, draw in DRAWN.items():
        assert next(iter(inspect.signature(draw).parameters)) == "axes"
        assert inspect.signature(draw).return_annotation == "Axes"
        arguments = (None for parameter in inspect.signature(draw).parameters.values() if parameter.default is parameter.empty)
        with pytest.raises(tpl.InvalidValueError, match=f"plots.{name}: axes is of type NoneType.*a matplotlib Axes"):
            draw(*arguments)


def test_colours_are_told_apart_by_the_colour_blind():
    okabe_ito = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"}
    assert set(plots.COLOURS.values()) <= okabe_ito
    assert set(plots.style.SERIES) | set(plots.style.OTHERS) <= okabe_ito
    styles = [tuple(plots.style.line_style(place).values()) for place in range(2 * len(plots.style.SERIES))]
    assert len(set(styles)) == len(styles)


# Activity -------------------------------------------------------------------------------------------
def test_events_are_drawn_one_by_one(axes, rng):
    events = random_events(rng, 10)
    assert plots.events(axes, events) is axes
    np.testing.assert_array_equal(line(axes), (events.times, events.units))
    assert axes.get_xlim() == (-0.5, events.n_steps - 0.5)
    with pytest.raises(tpl.InvalidValueError, match="events is of type tuple.*must be Events"):
        plots.events(axes, (events, 1))


def test_raster_shows_spikes_and_traces_of_the_most_active(axes, both):
    outcome = both[1]
    assert plots.raster(axes, outcome, layer=1, neurons=3) is axes
    most = np.argsort(-outcome.spikes[1].sum(axis=0), kind="stable")[:3]
    np.testing.assert_array_equal(axes.images[0].get_array(), outcome.traces[1][:, most].T)
    np.testing.assert_array_equal(line(axes), np.nonzero(outcome.spikes[1][:, most]))
    with pytest.raises(tpl.InvalidValueError, match="layer is 2.*in \\[0, 2\\)"):
        plots.raster(axes, outcome, layer=2)
    with pytest.raises(tpl.InvalidValueError, match="neurons is 0"):
        plots.raster(axes, outcome, neurons=0)


def test_raster_needs_a_recorded_outcome(axes, network, rng):
    with pytest.raises(tpl.InvalidValueError, match="without spikes.*record=True"):
        plots.raster(axes, tpl.Learner(network).infer(random_events(rng, 10)))


def test_traces_are_lines_over_steps(axes, rng):
    values = rng.normal(size=(7, 3))
    assert plots.traces(axes, values, ["a", "trace", "c"], level=0.5) is axes
    for number in range(3):
        np.testing.assert_array_equal(line(axes, number), (np.arange(7), values[:, number]))
    assert legend(axes) == ["a", "trace", "c"]
    assert axes.lines[1].get_color() == plots.COLOURS["trace"]
    assert set(axes.lines[3].get_ydata()) == {0.5}
    assert len(plots.traces(Figure().subplots(), values[:, 0]).lines) == 1
    for wrong, message in ((values[None], "of shape \\(1, 7, 3\\)"), ([np.nan], "not finite"), ("no", "array of numbers"), ([], "empty")):
        with pytest.raises(tpl.InvalidValueError, match=message):
            plots.traces(axes, wrong)
    with pytest.raises(tpl.InvalidValueError, match="2 names.*one for each of 3"):
        plots.traces(axes, values, ["a", "b"])


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5), min_size=1, max_size=4))
def test_lanes_scale_each_signal_to_its_own_largest(signals):
    drawn = plots.lanes(Figure().subplots(), {str(number): np.array(signal) for number, signal in enumerate(signals)})
    steps = [each for each in drawn.lines if each.get_drawstyle() == "steps-mid"]
    graded = [(place, signal) for place, signal in enumerate(signals) if not set(signal) <= {0.0, 1.0}]
    assert len(steps) == len(graded)
    for (place, signal), drawn_line in zip(graded, steps, strict=True):
        np.testing.assert_allclose(drawn_line.get_ydata(), -place + 0.4 * np.array(signal) / np.abs(signal).max(), atol=1e-12)
    assert [tick.get_text() for tick in drawn.get_yticklabels()] == [str(number) for number in range(len(signals))]


def test_lanes_draw_spikes_as_ticks(axes):
    plots.lanes(axes, {"spike": np.array([0, 1, 0, 1]), "ψ": np.array([0, 0.5, 2.0, 0])})
    assert [segment[0][0] for segment in axes.collections[0].get_segments()] == [1, 3]
    with pytest.raises(tpl.InvalidValueError, match="signals\\['b'\\] is 2 steps long.*others, 3"):
        plots.lanes(axes, {"a": [1, 2, 3], "b": [1, 2]})
    with pytest.raises(tpl.InvalidValueError, match="signals is empty"):
        plots.lanes(axes, {})


# Learning -------------------------------------------------------------------------------------------
def test_contrast_sets_off_the_own_stream(axes, rng):
    errors = rng.normal(size=(9, 4))
    assert plots.contrast(axes, errors, [7, 1, 2, 3]) is axes
    for stream in range(4):
        np.testing.assert_array_equal(line(axes, stream)[1], errors[:, stream])
    assert legend(axes) == ["7 (its own)", "1", "2", "3"]
    assert axes.lines[0].get_linewidth() > axes.lines[1].get_linewidth()


def test_streams_keep_their_colour_from_picture_to_picture(rng):
    def colours(labels):
        axes = plots.contrast(Figure().subplots(), rng.normal(size=(9, len(labels))), labels)
        return {str(label): (drawn.get_color(), drawn.get_linestyle()) for label, drawn in zip(labels, axes.lines, strict=False)}

    numbers, names = colours(range(10)), colours(["no", "yes", "[x]"])
    assert len(set(numbers.values())) == 10
    assert len(set(names.values())) == 3
    assert colours([7, 1, 2]) == {label: numbers[label] for label in "712"}
    assert colours(["[x]", "no"]) == {label: names[label] for label in ("[x]", "no")}
    axes = plots.third_factor(Figure().subplots(), rng.random(6), rng.normal(size=(6, 2)), rng.normal(size=6), [3, 8])
    assert [drawn.get_color() for drawn in axes.lines if drawn.get_drawstyle() == "steps-mid"][1:3] == [numbers["3"][0], numbers["8"][0]]


def test_third_factor_shows_what_it_is_made_of(axes, rng):
    psi, error, third = rng.random(6), rng.normal(size=(6, 2)), rng.normal(size=6)
    assert plots.third_factor(axes, psi, error, third, [3, 8]) is axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["ψ", "contrast 3", "contrast 8", "third factor"]
    signals = [each for each in axes.lines if each.get_drawstyle() == "steps-mid"]
    np.testing.assert_allclose(signals[3].get_ydata(), -3 + 0.4 * third / np.abs(third).max())
    with pytest.raises(tpl.InvalidValueError, match="third factor'\\] is 5 steps long"):
        plots.third_factor(axes, psi, error, third[1:])


def test_third_factors_of_a_layer_are_a_field_about_zero(axes, rng):
    third = rng.normal(size=(6, 9))
    assert plots.third_factors(axes, third, neurons=4) is axes
    most = np.argsort(-np.abs(third).max(axis=0))[:4]
    image = axes.images[0]
    np.testing.assert_array_equal(image.get_array(), third[:, most].T)
    assert image.get_clim() == (-np.abs(third).max(), np.abs(third).max())
    assert plots.third_factors(Figure().subplots(), np.zeros((3, 2))).images[0].get_clim() == (-1, 1)


def test_weights_over_time_and_their_arrivals(axes, rng):
    weights = rng.normal(size=(5, 2))
    assert plots.weights_over_time(axes, weights, ["w", "v"], arrivals=[0, 1, 0, 0, 1]) is axes
    np.testing.assert_array_equal(line(axes, 1)[1], weights[:, 1])
    np.testing.assert_array_equal(line(axes, 2)[0], [1, 4])
    with pytest.raises(tpl.InvalidValueError, match="arrivals is 2 steps long"):
        plots.weights_over_time(axes, weights, arrivals=[0, 1])


def test_histograms_count_everything(axes, rng):
    before, after = rng.normal(size=(30, 20)), rng.normal(size=(30, 20)) * 2
    assert plots.weight_histogram(axes, before, {"fixed": after}) is axes
    assert sum(bar.get_height() for bar in axes.patches[:80]) == before.size
    assert legend(axes) == ["before", "after, fixed"]
    drawn = plots.trace_histogram(Figure().subplots(), {"a": np.abs(before), "b": np.abs(after)}, bins=10, largest=9.0)
    corners = drawn.patches[0].get_xy()
    assert corners[:, 0].max() == 9.0
    assert corners[1::2, 1].sum() >= before.size
    with pytest.raises(tpl.InvalidValueError, match="traces is empty"):
        plots.trace_histogram(axes, {})


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_weight_changes_are_summed_by_sign(steps, seed):
    changes = np.random.default_rng(seed).normal(size=(steps, 3, 2))
    drawn = plots.weight_changes(Figure().subplots(), changes)
    heights = np.array([bar.get_height() for bar in drawn.patches]).reshape(2, steps)
    np.testing.assert_allclose(heights.sum(axis=0), changes.sum(axis=(1, 2)), atol=1e-12)
    assert (heights[0] >= 0).all()
    assert (heights[1] <= 0).all()


# Accuracy -------------------------------------------------------------------------------------------
def test_accuracy_over_samples_and_against_bits(axes):
    assert plots.accuracy_over_samples(axes, {"fixed": ([0, 10], [0.1, 0.9])}) is axes
    np.testing.assert_array_equal(line(axes), ([0, 10], [0.1, 0.9]))
    assert axes.lines[0].get_color() == plots.COLOURS["fixed"]
    bits = plots.accuracy_against_bits(Figure().subplots(), {"a": ([2, 8], [0.5, 0.9]), "b": ([4], [0.7])}, reference=0.95)
    np.testing.assert_array_equal(line(bits, 1), ([4], [0.7]))
    assert list(bits.get_xticks()) == [2, 4, 8]
    assert legend(bits) == ["a", "b", "float"]
    for draw in (plots.accuracy_over_samples, plots.accuracy_against_bits):
        with pytest.raises(tpl.InvalidValueError, match="1 steps long.*the others, 2"):
            draw(axes, {"a": ([1, 2], [0.5])})
        with pytest.raises(tpl.InvalidValueError, match="curves is empty"):
            draw(axes, {})


def test_accuracy_over_sessions(axes):
    assert plots.accuracy_over_sessions(axes, {"a": [0.9, 0.7], "b": [0.8, 0.6]}, title="old") is axes
    np.testing.assert_array_equal(line(axes, 1), ([1, 2], [0.8, 0.6]))
    assert list(axes.get_xticks()) == [1, 2]
    with pytest.raises(tpl.InvalidValueError, match="1 steps long.*the others, 2|as long as the others"):
        plots.accuracy_over_sessions(axes, {"a": [0.9, 0.7], "b": [0.8]})
    with pytest.raises(tpl.InvalidValueError, match="curves is empty"):
        plots.accuracy_over_sessions(axes, {})


def test_accuracy_against_memory(axes):
    assert plots.accuracy_against_memory(axes, {"TP": ([0.9, 1.0], 3840), "frozen": ([0.5], 0)}) is axes
    np.testing.assert_array_equal(line(axes, 0), ([0.9, 1.0], [0, 0]))
    assert axes.lines[1].get_xdata()[0] == pytest.approx(0.95)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["TP  (3,840)", "frozen  (0)"]


def test_confusion_counts(axes, rng):
    labels, told = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    assert plots.confusion(axes, labels, told, 4) is axes
    table = np.array([[np.sum((labels == row) & (told == column)) for column in range(4)] for row in range(4)])
    written = np.zeros_like(table)
    for text in axes.texts:
        column, row = text.get_position()
        written[row, column] = int(text.get_text())
    np.testing.assert_array_equal(written, table)
    np.testing.assert_allclose(axes.images[0].get_array(), table / table.sum(axis=1, keepdims=True))
    assert axes.get_title() == f"{np.trace(table)} of 50 right"
    with pytest.raises(tpl.InvalidValueError, match="label is 4.*\\[0, 4\\)"):
        plots.confusion(axes, [4], [0], 4)
    with pytest.raises(tpl.InvalidValueError, match="predictions is 1 steps long"):
        plots.confusion(axes, [1, 2], [0], 4)
    with pytest.raises(tpl.InvalidValueError, match="n_classes is 1"):
        plots.confusion(axes, [0], [0], 1)


# Fixed point ----------------------------------------------------------------------------------------
@given(st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31), st.integers(2, 32), st.booleans())
def test_range_bars_are_as_long_as_the_bits_that_values_need(a, b, bits, signed):
    low, high, held = min(a, b), max(a, b), Format(bits, 3, signed)
    drawn = plots.range_bars(Figure().subplots(), [("x", low, high, held)])
    assert widths(plots.range_bars(Figure().subplots(), [("x", low, high, str(held))])) == widths(drawn)
    register, needed = widths(drawn)
    assert register == bits
    sign = signed or low < 0
    assert max(abs(low), abs(high)) < 2 ** (needed - sign)
    assert needed == sign or max(abs(low), abs(high)) >= 2 ** (needed - sign - 1)
    fits = needed <= bits
    assert ("too many" in drawn.texts[0].get_text()) == (not fits)
    assert fits == (drawn.patches[0].get_width() >= drawn.patches[1].get_width())


def test_range_bars_refuse_what_is_no_range(axes):
    with pytest.raises(tpl.InvalidValueError, match="entry 'x' is \\(3, 2, .*low <= high"):
        plots.range_bars(axes, [("x", 3, 2, Format(8, 0))])
    with pytest.raises(tpl.InvalidValueError, match="entry 'x' is \\(1, 2, '24 bits'\\)"):
        plots.range_bars(axes, [("x", 1, 2, "24 bits")])
    with pytest.raises(tpl.InvalidValueError, match="entries is empty"):
        plots.range_bars(axes, [])


def test_rounding_shows_held_against_meant(axes):
    meant = np.linspace(-1, 1, 9)
    assert plots.rounding(axes, meant, np.rint(meant)) is axes
    np.testing.assert_array_equal(line(axes, 1), (meant, np.rint(meant)))
    with pytest.raises(tpl.InvalidValueError, match="held is 1 steps long"):
        plots.rounding(axes, meant, [1])


def test_divergence_shows_the_neuron_that_parts(axes, both):
    found, a, b = both
    assert found.layer.startswith("hidden")
    assert plots.divergence(axes, found, a, b) is axes
    layer = int(found.layer[-1])
    steps = np.asarray(axes.lines[0].get_xdata())
    assert found.step in steps
    assert np.ptp(steps) <= 24
    for drawn, outcome in ((axes.lines[0], a), (axes.lines[2], b)):
        np.testing.assert_array_equal(drawn.get_ydata(), outcome.membranes[layer][steps, found.neuron])
    spikes = np.asarray(axes.lines[1].get_xdata())
    np.testing.assert_array_equal(spikes, steps[a.spikes[layer][steps, found.neuron]])
    with pytest.raises(tpl.InvalidValueError, match="found is None"):
        plots.divergence(axes, None, a, b)


def test_spikes_apart_is_a_share_of_each_layer(axes, both, network, rng):
    _, a, b = both
    assert plots.spikes_apart(axes, a, b) is axes
    for layer in range(2):
        np.testing.assert_allclose(line(axes, layer)[1], (a.spikes[layer] != b.spikes[layer]).mean(axis=1))
    other = tpl.Learner(network).infer(random_events(rng, 10, 5), record=True)
    with pytest.raises(tpl.InvalidValueError, match="of the same sample and shape"):
        plots.spikes_apart(axes, a, other)


# Hardware -------------------------------------------------------------------------------------------
def test_core_map_fills_bars_by_share(axes):
    cores = [
        ("0", ["hidden0"], {"neurons": (50, 200), "synapses": (10, 10, "of them")}),
        ("1", ["readout"], {"neurons": (300, 200)}),
        ("2", [], {}),
    ]
    assert plots.core_map(axes, cores, columns=2) is axes
    bars = {patch.get_gid(): patch for patch in axes.patches if patch.get_gid()}
    whole = bars["0/synapses"].get_width()
    assert bars["0/neurons"].get_width() == pytest.approx(whole / 4)
    assert bars["1/neurons"].get_width() == pytest.approx(whole)
    assert bars["1/neurons"].get_facecolor() != bars["0/neurons"].get_facecolor()
    assert {"0", "1", "2", "neurons 25%", "neurons 150%"} <= {text.get_text() for text in axes.texts}
    assert legend(axes) == ["hidden0", "readout"]
    with pytest.raises(tpl.InvalidValueError, match="neurons of 7 is \\(1, 0\\)"):
        plots.core_map(axes, [("7", [], {"neurons": (1, 0)})])


def test_network_drawing_names_populations_and_connections(axes, network):
    assert plots.network(axes, network) is axes
    texts = {text.get_text() for text in axes.texts}
    assert {"inputs\n10", "hidden0\n8", "hidden1\n6", "readout\n4", "8 x 10", "6 x 8", "4 x 6", "labels, target 8 x 4"} <= texts
    populations = [each for each in axes.lines if each.get_label() in ("inputs", "hidden0", "hidden1", "readout")]
    assert [len(each.get_xdata()) for each in populations] == [9, 8, 6, 4]
    plain = plots.network(Figure().subplots(), tpl.Network.dense(network.sizes))
    assert len(axes.patches) == len(plain.patches) + 1
    with pytest.raises(tpl.InvalidValueError, match="network is 3.*a Network"):
        plots.network(axes, 3)


def test_every_picture_returns_an_axes_that_can_be_saved(tmp_path, both, network):
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    assert isinstance(plots.network(left, network), Axes)
    plots.raster(right, both[1])
    figure.savefig(tmp_path / "two.png", dpi=40)
    assert (tmp_path / "two.png").stat().st_size > 1000
