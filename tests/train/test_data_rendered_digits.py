"""Rendered digits: a pure function, and close enough to handwriting to be worth learning from."""

import numpy as np
import pytest

from train.data import digits, load_dataset, rendered_digits
from train.data.rendered_digits import FONTS, WRITTEN, Form, distances, glyph, render, thin


@pytest.fixture(scope="module")
def rendered():
    images, labels = zip(*[render(0, i) for i in range(1000)], strict=True)
    return np.stack(images), np.array(labels)


def test_render_is_a_function_of_seed_and_index():
    for seed, index in (0, 0), (0, 7), (3, 123_456_789):
        first, second = render(seed, index), render(seed, index)
        np.testing.assert_array_equal(first[0], second[0])
        assert first[1] == second[1] == index % 10
    assert (render(0, 7)[0] != render(1, 7)[0]).any()
    assert (render(0, 7)[0] != render(0, 17)[0]).any()


def test_images_have_the_statistics_of_the_real_ones(rendered):
    images, _ = rendered
    real, _ = digits.load()
    assert images.shape == (1000, 8, 8, 1)
    assert set(np.unique(images)) == set(np.unique(real))
    for rows in images, real:  # the box fills the whole height
        assert rows.any(axis=2).all(axis=(1, 2)).mean() > 0.97
    ink = images.mean((1, 2, 3))
    assert abs(ink.mean() - real.mean()) < 8
    profile = images.mean((0, 1, 3)) - real.mean((0, 1, 3))  # of columns
    assert np.abs(profile).max() < 25


def test_every_font_and_form_draws_something_of_full_height():
    plain = [(Form(str(digit)), font) for digit in range(10) for font in FONTS]
    written = [(form, font) for forms in WRITTEN.values() for form in forms for font in form.fonts]
    for form, font in plain + written:
        ink = glyph(form, font)
        assert ink.shape[0] == rendered_digits.GLYPH
        assert ink[[0, -1]].any(axis=1).all()
        assert 0.05 < ink.mean() <= 1


def test_a_bar_crosses_the_seven():
    plain, barred = (glyph(Form("7", bar=bar), "DejaVuSans") for bar in (False, True))
    assert barred.sum() > 1.1 * plain.sum()


def test_thinning_leaves_a_connected_line_inside_the_shape():
    ink = np.zeros((20, 30), bool)
    ink[5:14, 4:26] = True
    line = thin(ink)
    assert (line <= ink).all()
    assert line.sum() < 30
    assert line[:, 9:21].sum(0).max() == 1
    assert line.any(0)[9:21].all()
    np.testing.assert_array_equal(thin(line), line)


def test_distances_rise_inward():
    fields = distances(Form("0"), "DejaVuSans")
    assert fields[True].max() == 0
    assert fields[False].max() > 2
    assert fields[False][48, 48] < 0  # the hole
    assert fields[True].min() < -20


def test_a_simple_classifier_transfers_to_handwriting(rendered):
    from sklearn.svm import SVC

    images, labels = rendered
    real, truth = digits.load()
    chosen = digits.split_indices(truth)["train"]
    classifier = SVC(C=5, gamma=0.001).fit(images.reshape(-1, 64) / 16, labels)
    found = classifier.predict(real[chosen].reshape(-1, 64) / 16)
    assert (found == truth[chosen]).mean() > 0.8


def test_the_builder_holds_what_render_draws(tmp_path, monkeypatch):
    monkeypatch.setitem(rendered_digits.SIZES, "small", (300, 200))
    data = load_dataset("zoo_rendered_digits/small", "test", data_dir=tmp_path)
    assert (len(data), data.class_names) == (200, tuple("0123456789"))
    for index in (0, 13, 199):
        image, label = render(1, index)
        np.testing.assert_array_equal(data[index]["input"], image)
        assert data[index]["label"] == label
    assert len(load_dataset("zoo_rendered_digits/small", data_dir=tmp_path)) == 300
