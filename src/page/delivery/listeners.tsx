/** Where the instance listens, how long its certificates are valid, and which build it is. */
import type { JSX } from "preact";
import type { Instance, ShownListener } from "../../admin/instance.ts";
import { ageText } from "../../screen/status-text.ts";
import { dateTime } from "../format.ts";
import { serverNow } from "../live.ts";
import { Empty, Panel } from "../panel.tsx";
import { Badge } from "./destinations.tsx";
import { visible } from "../record-text.ts";
import { certificateText } from "./words.ts";

export function ListenersPanel({ instance }: { readonly instance: Instance | undefined }): JSX.Element {
  return (
    <Panel title="Listeners and instance">
      {instance === undefined ? <Empty>Loading…</Empty> : <Listeners instance={instance} />}
    </Panel>
  );
}

const uses: Readonly<Record<ShownListener["name"], string>> = {
  stream: "log streaming",
  webhook: "webhooks",
  admin: "this page, commands and metrics",
};

function Listeners({ instance }: { readonly instance: Instance }): JSX.Element {
  const { listeners, version, commit, startedAt, statePath, retentionSeconds } = instance;
  return (
    <>
      <ul class="states">
        {listeners.map((one) => (
          <li key={one.name}>
            <h3>
              {one.name} <span class="note">{uses[one.name]}</span>
            </h3>
            <p>
              <code>{visible(one.url)}</code>
            </p>
            <Certificate of={one.certificate} />
          </li>
        ))}
      </ul>
      <dl class="facts">
        <div>
          <dt>version</dt>
          <dd>{commit === "" ? version : `${version} (${commit.slice(0, 12)})`}</dd>
        </div>
        <div>
          <dt>started</dt>
          <dd>{dateTime(startedAt)}</dd>
        </div>
        <div>
          <dt>state</dt>
          <dd>
            <code>{visible(statePath)}</code>, delivered records are kept for {ageText(retentionSeconds * 1000)}
          </dd>
        </div>
      </dl>
    </>
  );
}

function Certificate({ of }: { readonly of: ShownListener["certificate"] }): JSX.Element {
  if (of === undefined) return <p class="note">Plain HTTP.</p>;
  const { notAfter, subjects, trouble } = of;
  const validity = notAfter === undefined ? undefined : certificateText(notAfter, serverNow());
  const names = subjects.length === 0 ? "" : ` for ${subjects.map(visible).join(", ")}`;
  return (
    <>
      <p>
        <Badge level={validity?.level ?? "bad"} text={validity?.text ?? "none yet"} /> TLS certificate{names}
        {notAfter === undefined ? "" : `, until ${dateTime(notAfter)}`}
      </p>
      {trouble !== undefined && <p class="trouble">{visible(trouble)}</p>}
    </>
  );
}
