"""Graphs written for onnxruntime do what was written."""

import numpy as np

from assistant.models.local.llama_graph import open_session
from assistant.models.local.onnx_graph import MICROSOFT, Graph


def test_a_graph_computes_what_its_operations_say() -> None:
    graph = Graph()
    graph.add_input("x", "float32", ("rows", 6))
    weight = np.arange(18, dtype=np.float32).reshape(6, 3)
    graph.add_node("MatMul", ["x", graph.add_constant("weight", weight)], "product")
    axis = graph.add_constant("axis", np.array([-1], np.int64))
    graph.add_node("ReduceMax", ["product", axis], "largest", keepdims=1)
    graph.add_output("product", "float32", ("rows", 3))
    graph.add_output("largest", "float32", ("rows", 1))
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)
    product, largest = open_session(graph.to_bytes(), 1).run(None, {"x": x})
    np.testing.assert_allclose(product, x @ weight, rtol=1e-5)
    np.testing.assert_allclose(largest, product.max(1, keepdims=True))


def test_a_constant_of_the_same_name_is_added_once() -> None:
    once, twice = Graph(), Graph()
    for graph, count in ((once, 1), (twice, 2)):
        graph.add_input("x", "float32", (4,))
        for _ in range(count):
            graph.add_constant("one", np.ones(4, np.float32))
        graph.add_node("Add", ["x", "one"], "y")
        graph.add_output("y", "float32", (4,))
    assert once.to_bytes() == twice.to_bytes()


def test_attributes_may_be_fractions_negative_numbers_and_lists() -> None:
    graph = Graph()
    graph.add_input("x", "float32", (2, 3))
    graph.add_node("QuickGelu", ["x"], "activated", domain=MICROSOFT, alpha=1.0)
    graph.add_node("Transpose", ["activated"], "turned", perm=(1, 0))
    graph.add_node("Softmax", ["turned"], "y", axis=-1)
    graph.add_output("y", "float32", (3, 2))
    x = np.array([[1, 2, 3], [3, 2, 1]], np.float32)
    (found,) = open_session(graph.to_bytes(), 1).run(None, {"x": x})
    turned = (x / (1 + np.exp(-x))).T
    np.testing.assert_allclose(found, np.exp(turned) / np.exp(turned).sum(1, keepdims=True), rtol=1e-5)
