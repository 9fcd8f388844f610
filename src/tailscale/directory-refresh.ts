/**
 * Keeps the directory of devices fresh. The API's latest answer decides: a deleted device has no name any more, and an
 * address that was given to another device has that one's name. The answer as we ask for it holds neither subnet routes nor
 * services, so the directory has none.
 */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { TailscaleError } from "./error.ts";
import type { Journal } from "../journal/index.ts";
import type { Device } from "../processors/names.ts";
import { decodeDevices, encodeDevices } from "./devices.ts";
import type { TailscaleApi } from "./types.ts";

export interface DirectoryRefreshOptions {
  readonly intervalMs: number;
  /** The most devices that the directory takes; absent: 100,000, about 100 MB. */
  readonly maxDevices?: number;
}

export interface DirectoryRefreshDeps {
  readonly api: Pick<TailscaleApi, "devices">;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Stores a copy for the next start. */
  readonly journal: Pick<Journal, "readState" | "writeState">;
  /** From here on, these devices are the directory. */
  readonly use: (devices: readonly Device[]) => void;
}

export interface DirectoryRefresh {
  /** Uses the stored copy, if there is one, and begins to ask the API. */
  start(): void;
  /** Safe before `start`, and twice. An answer that is under way is not used. */
  stop(): void;
}

const standardMaxDevices = 100_000;

/** Of the copy in the journal's state. */
const stateName = "devices";

/** After a first failure; doubled with each further one, up to the interval. */
const firstRetryMs = 5000;

export function createDirectoryRefresh(options: DirectoryRefreshOptions, deps: DirectoryRefreshDeps): DirectoryRefresh {
  const { intervalMs, maxDevices = standardMaxDevices } = options;
  const { api, telemetry, logger, clock } = deps;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isStopped = false;
  let usedText: string | undefined;
  let succeededAt: number | undefined;
  let failures = 0;
  let hasAnswer = false;
  let isCrowded = false;
  let isUnstored = false;

  async function refresh(): Promise<void> {
    try {
      const devices = await api.devices();
      if (isStopped) return;
      take(devices);
      if (failures > 0) logger.info("the directory of devices is read again", { devices: devices.length });
      succeededAt = clock();
      failures = 0;
    } catch (error) {
      if (isStopped) return;
      failures++;
      if (failures === 1) warn(error);
    }
    hasAnswer = true;
    const delayMs = failures === 0 ? intervalMs : Math.min(intervalMs, firstRetryMs * 2 ** Math.min(failures - 1, 20));
    timer = setTimeout(() => void refresh(), delayMs);
  }

  function take(answer: readonly Device[]): void {
    const devices = answer.length > maxDevices ? answer.slice(0, maxDevices) : answer;
    if (devices !== answer && !isCrowded) {
      logger.warn("the tailnet has more devices than the directory takes; the others have no name", {
        devices: answer.length,
        taken: maxDevices,
      });
    }
    isCrowded = devices !== answer;
    const text = JSON.stringify(devices);
    if (text === usedText) return;
    usedText = text;
    deps.use(devices);
    store(devices);
  }

  function store(devices: readonly Device[]): void {
    try {
      deps.journal.writeState(stateName, encodeDevices(devices));
      isUnstored = false;
    } catch (error) {
      if (!isUnstored) {
        const reason = error instanceof Error ? error.message : String(error);
        logger.warn("the directory of devices cannot be stored for the next start", { reason });
      }
      isUnstored = true;
    }
  }

  function warn(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof TailscaleError ? error.remedy : undefined;
    const message =
      usedText === undefined
        ? "the directory of devices cannot be read, so there are only the names that records claim; it is tried again"
        : "the directory of devices cannot be read, so the last one is used; it is tried again";
    logger.warn(message, { reason, remedy });
  }

  const attributes = { "tailscale.collector": "devices" } as const;
  telemetry.observe("tailscale2otel.scrape.success", () =>
    hasAnswer ? [{ value: failures === 0 ? 1 : 0, attributes }] : [],
  );
  telemetry.observe("tailscale2otel.scrape.last_timestamp", () =>
    succeededAt === undefined ? [] : [{ value: succeededAt / 1000, attributes }],
  );
  telemetry.observe("tailscale2otel.scrape.lag", () =>
    succeededAt === undefined ? [] : [{ value: Math.max(0, clock() - succeededAt) / 1000, attributes }],
  );

  return {
    start() {
      const stored = deps.journal.readState(stateName);
      const devices = stored === undefined ? undefined : decodeDevices(stored);
      if (devices !== undefined) {
        usedText = JSON.stringify(devices);
        deps.use(devices);
      }
      void refresh();
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
