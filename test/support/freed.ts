/** Detects buffers that are freed immediately with `freeBuffer`, by their transfer to a length of 0. */
import { spyOn } from "bun:test";

/** The byte length of each buffer freed during `act`, in order. */
export async function freedBy(act: () => unknown): Promise<number[]> {
  const freed: number[] = [];
  const { transfer } = ArrayBuffer.prototype;
  const spy = spyOn(ArrayBuffer.prototype, "transfer").mockImplementation(function (this: ArrayBuffer, length) {
    if (length === 0) freed.push(this.byteLength);
    return transfer.call(this, length);
  });
  try {
    await act();
  } finally {
    spy.mockRestore();
  }
  return freed;
}
