/** Everything about one event: its times, what it changed, and each attribute. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import type { AcceptedEvent } from "../../admin/events/index.ts";
import { actorOf } from "../../catalogue/event-words.ts";
import { get } from "../api.ts";
import { dateTime } from "../format.ts";
import { usePolled } from "../poll.ts";
import { NodeLink } from "../node-link.tsx";
import { go, hrefOf, route } from "../route.ts";
import { visible } from "../record-text.ts";
import { Difference } from "./difference.tsx";
import { addressOf, filterOf } from "./query.ts";

/** Ends a text that the list contains only the beginning of. */
const cutMark = "…[truncated]";

/** Attributes with old and new values; `tailscale.audit.diff` repeats them. */
const changes = [
  ["tailscale.audit.old", "tailscale.audit.new"],
  ["tailscale.webhook.old_roles", "tailscale.webhook.new_roles"],
] as const;
const changeNames = new Set<string>([...changes.flat(), "tailscale.audit.diff"]);

/** Attributes whose values are node names. */
const nodeNames = new Set([
  "tailscale.src.node",
  "tailscale.dst.node",
  "tailscale.node.hostname",
  "tailscale.webhook.node.device.name",
]);

/** An event does not change, so it is requested only once. */
const onceMs = 2 ** 31 - 1;

export function EventDetails({ event: listed }: { readonly event: AcceptedEvent }): JSX.Element {
  const isCut = textsOf(listed).some((text) => text.endsWith(cutMark));
  const { data, error } = usePolled<AcceptedEvent | undefined>(
    async (signal) => (isCut ? get<AcceptedEvent>("/api/v1/events/item", { id: listed.id }, signal) : undefined),
    onceMs,
    listed.id,
  );
  const event = data ?? listed;
  const { attributes, body, name, type, source, severity } = event;
  const found = changes.find(([old, next]) => attributes[old] !== undefined || attributes[next] !== undefined);
  const isWaiting = isCut && data === undefined && error === undefined;
  return (
    <div class="details">
      <Actions event={event} />
      {error !== undefined && <p class="trouble">Long texts are cut: {error}.</p>}
      {found !== undefined && (
        <div>
          <h3>Before and after</h3>
          {isWaiting ? (
            <p class="note">Reading the whole text…</p>
          ) : (
            <Difference before={linesOf(attributes[found[0]])} after={linesOf(attributes[found[1]])} />
          )}
        </div>
      )}
      <div class="table" role="group" aria-label={`Attributes of the event of ${event.time}`} tabIndex={0}>
        <table>
          <tbody>
            <Row name="Time">
              {dateTime(event.time)} <code>{event.time}</code>
            </Row>
            <Row name="Received">
              {dateTime(event.acceptedAt)} <code>{event.acceptedAt}</code>, {sourceTitles[source]}
            </Row>
            <Row name="Event">
              {type}, {severity === "WARN" ? "warning" : "information"}, <code>{visible(name)}</code>
            </Row>
            <Row name="Text">
              <Value text={body} />
            </Row>
            {Object.entries(attributes)
              .filter(([one]) => !changeNames.has(one))
              .map(([one, value]) => (
                <Row key={one} name={one}>
                  {isNode(one, event) ? <NodeLink node={String(value)} /> : <Value text={linesOf(value)} />}
                </Row>
              ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

const sourceTitles = { stream: "by log streaming", webhook: "by webhook", poll: "by polling" } as const;

function Row({ name, children }: { readonly name: string; readonly children: ComponentChildren }): JSX.Element {
  return (
    <tr>
      <th scope="row">{visible(name)}</th>
      <td>{children}</td>
    </tr>
  );
}

/** Longer values are shown in full on request. */
const shownCharacters = 2000;

export function Value({ text }: { readonly text: string }): JSX.Element {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? text : text.slice(0, shownCharacters).toWellFormed();
  return (
    <bdi class="value">
      {visible(shown)}
      {shown.length < text.length && (
        <button type="button" onClick={() => setWhole(true)}>
          Show all {text.length.toLocaleString()} characters
        </button>
      )}
    </bdi>
  );
}

function Actions({ event }: { readonly event: AcceptedEvent }): JSX.Element {
  const [isCopied, setCopied] = useState(false);
  const filter = filterOf(route.value);
  const { since: _, until: __, ...rest } = filter;
  const types = rest.types.includes(event.type) ? rest.types : [...rest.types, event.type];
  const link = hrefOf({ view: "events", more: addressOf({ ...rest, types, id: event.id }) });
  const actor = actorOf(event);
  // Without TLS, browsers offer the clipboard only on loopback; elsewhere, the link itself can be copied.
  const copy = (): void =>
    void navigator.clipboard.writeText(new URL(link, location.href).href).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  return (
    <p class="actions">
      {navigator.clipboard !== undefined && (
        <button type="button" onClick={copy}>
          {isCopied ? "Copied" : "Copy link"}
        </button>
      )}
      <a href={link}>Link to this event and those around it</a>
      {actor !== "" && filter.actor !== actor && (
        <button type="button" onClick={() => go({ more: addressOf({ ...rest, actor }) })}>
          Only events by <bdi>{visible(actor.slice(0, 60))}</bdi>
        </button>
      )}
    </p>
  );
}

function isNode(name: string, { attributes }: AcceptedEvent): boolean {
  if (typeof attributes[name] !== "string") return false;
  return nodeNames.has(name) || (name === "tailscale.target.name" && attributes["tailscale.target.type"] === "NODE");
}

function textsOf({ body, attributes }: AcceptedEvent): readonly string[] {
  return [body, ...Object.values(attributes).map(linesOf)];
}

function linesOf(value: AcceptedEvent["attributes"][string] | undefined): string {
  return value === undefined ? "" : [value].flat().join("\n");
}
