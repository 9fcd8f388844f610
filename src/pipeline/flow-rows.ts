/** Decodes and measures the flow records of stored rows. */
import type { Row } from "../journal/index.ts";
import { measureFlow, type MeasureContext } from "../processors/flow-metrics.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowColumns } from "../records/flow/columns.ts";
import { FlowRowDecoder } from "../records/flow/rows.ts";

export class FlowRows {
  readonly #context: MeasureContext;
  readonly #columns = new FlowColumns();
  readonly #decoder = new FlowRowDecoder(new ClaimTable());

  constructor(context: MeasureContext) {
    this.#context = context;
  }

  /**
   * The result is valid until the next call. `dropped`: a byte per record, 1 for those that cannot be measured; undefined if all
   * can. `failed` is called with each of them.
   */
  measured({ text, leftOut }: Row, failed: (record: number, error: unknown) => void) {
    const columns = this.#columns;
    columns.clear();
    this.#decoder.decode(text, leftOut, columns);
    let dropped: Uint8Array | undefined;
    for (let record = 0; record < columns.records; record++) {
      try {
        const defect = columns.defects.get(record);
        if (defect !== undefined) throw new Error(defect);
        measureFlow(columns, record, record + 1, this.#context);
      } catch (error) {
        (dropped ??= new Uint8Array(columns.records))[record] = 1;
        failed(record, error);
      }
    }
    return { columns, dropped };
  }
}
