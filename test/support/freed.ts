/** Memory that is given back at once, as `freeBuffer` does it: by a transfer of the buffer to a length of 0. */
import { spyOn } from "bun:test";

/** The bytes of each buffer that is given back while that is done, in order. */
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
