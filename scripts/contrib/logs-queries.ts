/** Queries of log records, in the languages of Loki and of VictoriaLogs; an event that is not in the catalogue does not compile. */
import type { logs } from "../../src/catalogue/logs.ts";
import type { Panel } from "./grafana.ts";

type EventName = keyof typeof logs;

/** An event, or all that begin like it. */
type Events = Exclude<EventName, `${string}<type>`> | "tailscale.webhook.";

/** The latest log records, once from each of the two. */
export function latest(title: string, description: string, event: Events) {
  const isPrefix = event.endsWith(".");
  const panel = (kind: "loki" | "victorialogs", expression: string): Panel => ({
    title,
    description,
    kind,
    queries: [{ expression }],
  });
  const pattern = event.replaceAll(".", "\\\\.");
  return {
    loki: panel("loki", `{service_name="tailscale2otel"} | event_name${isPrefix ? `=~"${pattern}.+"` : `="${event}"`}`),
    victorialogs: panel(
      "victorialogs",
      `{service.name="tailscale2otel"} event_name:${isPrefix ? `"${event}"*` : `="${event}"`} | sort by (_time) desc | limit 200`,
    ),
  };
}
