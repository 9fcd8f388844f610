/** Replays and retries of dead letters, with their progress and a button to cancel each. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { RedeliveryReport } from "../../admin/redeliveries.ts";
import type { RunningStatus } from "../../admin/status.ts";
import { redeliveryText } from "../../screen/status-text.ts";
import { post, troubleOf } from "../api.ts";
import { Empty, Panel } from "../panel.tsx";

export interface RedeliveriesPanelProps {
  readonly status: RunningStatus | undefined;
  readonly onChange: () => void;
}

export function RedeliveriesPanel({ status, onChange }: RedeliveriesPanelProps): JSX.Element {
  const [said, setSaid] = useState("");
  const [trouble, setTrouble] = useState("");
  const cancel = async ({ name, destination }: RedeliveryReport): Promise<void> => {
    try {
      const ended = await post<RedeliveryReport>("/api/v1/replay/cancel", {
        name,
        ...(destination && { destination }),
      });
      setSaid(redeliveryText(ended));
      setTrouble("");
    } catch (error) {
      setTrouble(troubleOf(error));
    }
    onChange();
  };
  const reports = status?.redeliveries ?? [];
  return (
    <Panel title="Replays and retries">
      {status !== undefined && reports.length === 0 && (
        <Empty>
          None yet. <code>tailscale2otel replay --since 8h</code> exports delivered records again.
        </Empty>
      )}
      <ul class="states">
        {reports.map((one) => (
          <li key={`${one.name} ${one.destination} ${one.startedAt}`}>
            <p>{redeliveryText(one)}</p>
            {one.state === "in progress" && (
              <p class="buttons">
                <progress
                  aria-label={`Progress of the ${one.name}`}
                  max={one.total}
                  value={one.delivered + one.rejected}
                />
                <button type="button" onClick={() => void cancel(one)}>
                  Cancel the {one.name}
                </button>
              </p>
            )}
          </li>
        ))}
      </ul>
      <p role="status" class="unseen">
        {said}
      </p>
      <p role="alert" class="trouble">
        {trouble}
      </p>
    </Panel>
  );
}
