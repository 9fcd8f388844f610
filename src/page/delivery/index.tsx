/** The view *Delivery*: whether every record is accounted for, what holds delivery up, and how the instance is configured. */
import { computed } from "@preact/signals";
import type { JSX } from "preact";
import type { Instance } from "../../admin/instance.ts";
import type { RunningStatus } from "../../admin/status.ts";
import { ApiError, get } from "../api.ts";
import { inLocalTime } from "../format.ts";
import { overview } from "../live.ts";
import { Empty, Panel } from "../panel.tsx";
import { usePolled } from "../poll.ts";
import { visible } from "../record-text.ts";
import { route } from "../route.ts";
import { DestinationsPanel } from "./destinations.tsx";
import { FactTiles } from "./fact-tiles.tsx";
import { FlowPicture, marks } from "./flow-picture.tsx";
import { ListenersPanel } from "./listeners.tsx";
import { QuarantinePanel } from "./quarantine.tsx";
import { RedeliveriesPanel } from "./redeliveries.tsx";
import { SettingsPanel } from "./settings.tsx";
import { TailscalePanel } from "./tailscale.tsx";

const statusMs = 5000;
const instanceMs = 30_000;

/** When the reasons change, the status and the warnings are fetched again. */
const reasons = computed(() => [...(overview.value?.notReady ?? []), ...(overview.value?.degraded ?? [])].join("\n"));

/** The status of a leading instance; others do not know the sums. @throws {ApiError} */
async function readStatus(stop: AbortSignal): Promise<RunningStatus> {
  const status = await get<Partial<RunningStatus>>("/api/v1/status", {}, stop);
  if (status.conservation === undefined) throw new ApiError(503, "Another instance leads and knows the sums");
  return status as RunningStatus;
}

export function DeliveryView(): JSX.Element {
  const cause = reasons.value;
  const status = usePolled(readStatus, statusMs, "", cause);
  const instance = usePolled((signal) => get<Instance>("/api/v1/instance", {}, signal), instanceMs, "", cause);
  const isOneOfMany = (status.data?.destinations ?? []).length > 0;
  return (
    <div class="view delivery">
      <div class="view-head">
        <h1>Delivery</h1>
        {route.value.nodes.length > 0 && <p class="note">The filter by node does not apply here.</p>}
      </div>
      <WarningsPanel instance={instance.data} error={instance.error} />
      <FactTiles status={status.data} />
      <Panel
        title="What became of every record"
        width="full"
        note={`In records, since the journal was created${isOneOfMany ? "; what is delivered, to the primary destination" : ""}.`}
      >
        <LivePicture status={status.data} />
      </Panel>
      <div class="panels">
        <div class="stack">
          <DestinationsPanel status={status.data} error={status.error} />
          <TailscalePanel status={status.data} />
        </div>
        <div class="stack">
          <RedeliveriesPanel status={status.data} onChange={status.refresh} />
          <ListenersPanel instance={instance.data} />
        </div>
      </div>
      <QuarantinePanel
        destinations={(status.data?.destinations ?? []).map(({ name }) => name)}
        onChange={status.refresh}
      />
      <SettingsPanel instance={instance.data} />
    </div>
  );
}

/** A component of its own, because it is redrawn every second. */
function LivePicture({ status }: { readonly status: RunningStatus | undefined }): JSX.Element {
  const now = overview.value ?? status;
  if (now === undefined) return <Empty>Waiting for the instance.</Empty>;
  return <FlowPicture conservation={now.conservation} counters={now.counters} />;
}

interface WarningsPanelProps {
  readonly instance: Instance | undefined;
  readonly error: string | undefined;
}

/** Errors and probable mistakes, each with its remedy, at the top of the view. */
function WarningsPanel({ instance, error }: WarningsPanelProps): JSX.Element {
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
