import { Matrix } from "ml-matrix";
import { describe, expect, test } from "vitest";
import {
  type Digits,
  decodeDigits,
  encodeDigits,
  pixelsPerDigit,
  splitDigits,
} from "../../examples/mnist/app/digits.ts";
import {
  averageModels,
  decodeModel,
  emptyModel,
  encodeModel,
  evaluate,
  type Model,
  train,
} from "../../examples/mnist/app/softmax.ts";
import { dealDigits } from "../../examples/mnist/partitions.ts";

/** Images that are easy to tell apart: digit d lights the d-th pixel. */
function easyDigits(count: number): Digits {
  const labels = Uint8Array.from({ length: count }, (_, index) => (index * 7) % 10);
  const pixels = new Uint8Array(count * pixelsPerDigit);
  for (const [index, label] of labels.entries()) pixels[index * pixelsPerDigit + label] = 255;
  return { labels, pixels };
}

function modelOf(value: number): Model {
  const { weights, bias } = emptyModel();
  return { weights: Matrix.add(weights, value), bias: Matrix.add(bias, value) };
}

const training = { epochs: 5, batchSize: 10, learningRate: 0.5 };

describe("the classifier", () => {
  test("knows nothing at first: one in ten right, a loss of ln 10", () => {
    const { accuracy, loss } = evaluate(emptyModel(), easyDigits(100));
    expect(accuracy).toBe(0.1);
    expect(loss).toBeCloseTo(Math.log(10));
  });

  test("learns, and leaves the model it started from as it was", () => {
    const start = emptyModel();
    const trained = train(start, easyDigits(100), training);
    expect(evaluate(trained, easyDigits(100)).accuracy).toBe(1);
    expect(start.weights.norm()).toBe(0);
  });

  test("averages by the number of examples", () => {
    const average = averageModels([
      { model: modelOf(1), examples: 30 },
      { model: modelOf(5), examples: 10 },
    ]);
    expect(average.weights.get(783, 9)).toBeCloseTo(2);
    expect(average.bias.get(0, 0)).toBeCloseTo(2);
  });

  test("is read as it was written", () => {
    const model = train(emptyModel(), easyDigits(20), training);
    expect(decodeModel(encodeModel(model))).toEqual(model);
  });
});

describe("the digits", () => {
  test("are dealt out whole: every digit once, in shuffled order, the same each time", () => {
    const { nodes, heldBack } = dealDigits([4_200, 2_200, 1_600]);
    expect([...nodes, heldBack].map(({ labels }) => labels.length)).toEqual([
      4_200, 2_200, 1_600, 2_000,
    ]);
    for (const { labels } of [...nodes, heldBack]) expect(new Set(labels).size).toBe(10);
    expect(dealDigits([10]).nodes[0]?.labels).toEqual(nodes[0]?.labels.subarray(0, 10));
  });

  test("are read as they were written, and a file of another length is refused", () => {
    const digits = easyDigits(5);
    expect(decodeDigits(encodeDigits(digits))).toEqual(digits);
    expect(() => decodeDigits(new Uint8Array(786))).toThrow("no whole number of digits");
    const [first, rest] = splitDigits(digits, 2);
    expect([first.labels.length, rest.labels.length]).toEqual([2, 3]);
    expect(rest.pixels[rest.labels[0] ?? 0]).toBe(255);
  });
});
