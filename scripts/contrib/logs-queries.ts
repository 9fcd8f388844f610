/** Builds queries for log records in the languages of Loki and VictoriaLogs; an event that is not in the catalogue does not compile. */
import type { logs } from "../../src/catalogue/logs.ts";
import type { Panel } from "./grafana.ts";

type EventName = keyof typeof logs;

/** An event, or a prefix ending in a dot. */
type Events = Exclude<EventName, `${string}<type>`> | "tailscale.webhook.";

/** Panels of the latest log records, one for each of the two. */
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
