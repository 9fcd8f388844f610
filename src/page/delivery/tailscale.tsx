/** What is read from Tailscale's API or set up there: polls, and failed setup with its remedy. */
import type { JSX } from "preact";
import type { RunningStatus } from "../../admin/status.ts";
import { ageText, pollText } from "../../screen/status-text.ts";
import { inLocalTime } from "../format.ts";
import { serverNow } from "../live.ts";
import { Empty, Panel } from "../panel.tsx";
import { Badge } from "./destinations.tsx";
import { visible } from "../record-text.ts";

export function TailscalePanel({ status }: { readonly status: RunningStatus | undefined }): JSX.Element {
  const { polls = [], tailnet = [], unverifiable, horizon } = status ?? {};
  const missed = Object.entries(unverifiable ?? {}).filter(([, seconds]) => seconds > 0);
  return (
    <Panel title="Tailscale">
      {status !== undefined && polls.length + tailnet.length === 0 && (
        <Empty>Nothing is polled, and nothing that was to be set up in Tailscale has failed.</Empty>
      )}
      <ul class="states">
        {tailnet.map(({ task, trouble, remedy }) => (
          <li key={task}>
            <h3>
              <Badge level="warn" text={task === "device list" ? "not read" : "not set"} /> {task}
            </h3>
            <p>{visible(inLocalTime(trouble))}</p>
            <Remedy text={remedy} />
          </li>
        ))}
        {polls.map((poll) => (
          <li key={poll.log}>
            <h3>
              <Badge level={poll.trouble === undefined ? "ok" : "warn"} /> Polling of the {poll.log} log
            </h3>
            <p>{inLocalTime(pollText(poll, serverNow()))}</p>
            <Remedy text={poll.remedy} />
          </li>
        ))}
        {missed.map(([type, seconds]) => (
          <li key={type}>
            Not polled: {ageText(seconds * 1000)} of the {type} log, beyond the dedup window
          </li>
        ))}
      </ul>
      {horizon !== undefined && (
        <p class="note">
          Dedup window, in which a record that comes again is recognized:{" "}
          {Object.entries(horizon)
            .map(([type, seconds]) => `${type} ${ageText(seconds * 1000)}`)
            .join(", ")}
        </p>
      )}
    </Panel>
  );
}

function Remedy({ text }: { readonly text: string | undefined }): JSX.Element | null {
  return text === undefined ? null : <p class="remedy">{visible(text)}</p>;
}
