import { ArrayRecord, NdArray } from "countersign/appio";
import { Matrix } from "ml-matrix";
import { classes, type Model } from "./softmax.ts";

/** A model as it travels: two arrays of 32-bit floats. */
export function toRecord({ weights, bias }: Model): ArrayRecord {
  return new ArrayRecord({ weights: toArray(weights), bias: toArray(bias) });
}

/** Reads what {@link toRecord} wrote. */
export function fromRecord(record: ArrayRecord): Model {
  return { weights: toMatrix(record.get("weights")), bias: toMatrix(record.get("bias")) };
}

function toArray(matrix: Matrix): NdArray {
  return NdArray.from(Float32Array.from(matrix.to1DArray()), [matrix.rows, matrix.columns]);
}

function toMatrix(array: NdArray): Matrix {
  const values = array.toTypedArray();
  return Matrix.from1DArray(values.length / classes, classes, Array.from(values, Number));
}
