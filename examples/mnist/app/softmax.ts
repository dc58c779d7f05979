import { Matrix } from "ml-matrix";
import { type Digits, imagesOf, pixelsPerDigit } from "./digits.ts";

/** Digits that the classifier tells apart: 0 to 9. */
export const classes = 10;

/** A softmax classifier: scores = images x weights + bias. */
export interface Model {
  /** A row per pixel, a column per digit. */
  readonly weights: Matrix;
  /** One row, a column per digit. */
  readonly bias: Matrix;
}

/** How a model did on some digits. */
export interface Evaluation {
  /** Share of the digits that it recognised, 0 to 1. */
  readonly accuracy: number;
  /** Mean cross-entropy in nats. */
  readonly loss: number;
}

/** How to train. */
export interface Training {
  readonly epochs: number;
  readonly batchSize: number;
  readonly learningRate: number;
}

/** A model that knows nothing: all zeros, which for a softmax is no obstacle to learning. */
export function emptyModel(): Model {
  return { weights: Matrix.zeros(pixelsPerDigit, classes), bias: Matrix.zeros(1, classes) };
}

/** Trains by stochastic gradient descent over batches in the digits' own order, and returns a new model. */
export function train(model: Model, digits: Digits, training: Training): Model {
  const images = imagesOf(digits);
  const weights = model.weights.clone();
  const bias = model.bias.clone();
  for (let epoch = 0; epoch < training.epochs; epoch++) {
    for (let start = 0; start < images.rows; start += training.batchSize) {
      const end = Math.min(start + training.batchSize, images.rows);
      const batch = images.subMatrix(start, end - 1, 0, pixelsPerDigit - 1);
      // The gradient of the cross-entropy by the scores: predicted minus true probability.
      const error = probabilities({ weights, bias }, batch);
      for (let row = 0; row < batch.rows; row++) {
        const label = digits.labels[start + row] ?? 0;
        error.set(row, label, error.get(row, label) - 1);
      }
      const step = training.learningRate / batch.rows;
      weights.sub(batch.transpose().mmul(error).mul(step));
      bias.sub(Matrix.rowVector(error.sum("column")).mul(step));
    }
  }
  return { weights, bias };
}

/** Measures a model on digits. */
export function evaluate(model: Model, digits: Digits): Evaluation {
  const predicted = probabilities(model, imagesOf(digits));
  let correct = 0;
  let loss = 0;
  for (let row = 0; row < predicted.rows; row++) {
    const label = digits.labels[row] ?? 0;
    if (predicted.maxRowIndex(row)[1] === label) correct++;
    loss -= Math.log(Math.max(predicted.get(row, label), 1e-12));
  }
  return { accuracy: correct / predicted.rows, loss: loss / predicted.rows };
}

/** Averages models, each weighted by the number of digits it was trained on: federated averaging. */
export function averageModels(models: readonly { model: Model; examples: number }[]): Model {
  const total = models.reduce((sum, { examples }) => sum + examples, 0);
  const average = emptyModel();
  for (const { model, examples } of models) {
    average.weights.add(Matrix.mul(model.weights, examples / total));
    average.bias.add(Matrix.mul(model.bias, examples / total));
  }
  return average;
}

/** Writes a model as bytes: the weights row by row, then the bias, as little-endian 64-bit floats. */
export function encodeModel({ weights, bias }: Model): Uint8Array {
  const values = [...weights.to1DArray(), ...bias.to1DArray()];
  const view = new DataView(new ArrayBuffer(values.length * 8));
  for (const [index, value] of values.entries()) view.setFloat64(index * 8, value, true);
  return new Uint8Array(view.buffer);
}

/** Reads what {@link encodeModel} wrote. */
export function decodeModel(bytes: Uint8Array): Model {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = Array.from({ length: bytes.byteLength / 8 }, (_, index) =>
    view.getFloat64(index * 8, true),
  );
  const cut = pixelsPerDigit * classes;
  return {
    weights: Matrix.from1DArray(pixelsPerDigit, classes, values.slice(0, cut)),
    bias: Matrix.from1DArray(1, classes, values.slice(cut)),
  };
}

function probabilities({ weights, bias }: Model, images: Matrix): Matrix {
  const scores = images.mmul(weights).addRowVector(bias);
  for (let row = 0; row < scores.rows; row++) {
    // Subtracting the largest score keeps the exponentials finite.
    const largest = scores.maxRow(row);
    let sum = 0;
    for (let column = 0; column < classes; column++) {
      const value = Math.exp(scores.get(row, column) - largest);
      scores.set(row, column, value);
      sum += value;
    }
    scores.mulRow(row, 1 / sum);
  }
  return scores;
}
