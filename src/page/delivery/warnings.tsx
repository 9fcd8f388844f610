/** What is wrong or probably not intended, each with what to do about it: the first thing on the view. */
import type { JSX } from "preact";
import type { Instance } from "../../admin/instance.ts";
import { inLocalTime } from "../format.ts";
import { Empty, Panel } from "../panel.tsx";
import { marks } from "./flow-picture.tsx";
import { visible } from "../record-text.ts";

export interface WarningsPanelProps {
  readonly instance: Instance | undefined;
  readonly error: string | undefined;
}

export function WarningsPanel({ instance, error }: WarningsPanelProps): JSX.Element {
  const warnings = instance?.warnings ?? [];
  const isFine = instance !== undefined && warnings.length === 0;
  return (
    <Panel title={isFine ? "No warnings" : "What to do"} width="full" error={error}>
      {instance === undefined && error === undefined && <Empty>Loading…</Empty>}
      {isFine && (
        <p class="verdict ok">
          <span class="mark" aria-hidden="true">
            {marks.ok}
          </span>{" "}
          Records are accepted and delivered, and nothing in the configuration needs attention.
        </p>
      )}
      <ul class="warnings">
        {warnings.map(({ severity, key, message, remedy }) => (
          <li key={`${key} ${message}`} class={severity === "error" ? "bad" : "warn"}>
            <p class="what">
              <span class="mark" aria-hidden="true">
                {severity === "error" ? marks.bad : marks.warn}
              </span>{" "}
              <span class="unseen">{severity === "error" ? "Error:" : "Warning:"} </span>
              {key !== undefined && <code>{visible(key)}</code>}
              {key !== undefined && ": "}
              {visible(inLocalTime(message))}
            </p>
            <p class="remedy">{visible(inLocalTime(remedy))}</p>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
