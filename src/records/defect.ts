/** Why one record of a known kind cannot be taken; the rest of its batch can. */

/** The closed set of reasons. `decode_error`: a member has the wrong type. The others: the record makes no sense. */
export type DefectReason =
  | "decode_error"
  | "negative_counters"
  | "oversized_counters"
  | "inverted_window"
  | "invalid_endpoint"
  | "invalid_protocol"
  | "invalid_entry"
  | "measure_failed";

/** Thrown by the decoders. `message` names the member and what was found. */
export class Defect extends Error {
  override readonly name = "Defect";
  constructor(
    readonly reason: DefectReason,
    message: string,
  ) {
    super(message);
  }
}
