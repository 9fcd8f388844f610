/** What is sent once more, in one line for a person. */
import type { RedeliveryReport } from "../admin/kept-types.ts";
import { printable } from "./table.ts";

export function redeliveryText(report: RedeliveryReport): string {
  const { name, state, since, until, total, sent, refused, trouble } = report;
  const what = name === "replay" ? `replay of ${since ?? ""} to ${until ?? ""}` : "retry of dead letters";
  const done = sent + refused;
  const percent = total === 0 ? 100 : Math.min(100, Math.floor((done / total) * 100));
  const again = refused === 0 ? "" : `, ${refused} refused again`;
  const why = trouble === undefined ? "" : `; waiting: ${printable(trouble)}`;
  return `${what}: ${state}, ${sent} of ${total} records (${percent} %)${again}${why}`;
}
