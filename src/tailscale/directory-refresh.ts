/**
 * Keeps the directory of devices fresh. What the API says at the moment decides: a device that was deleted has no name any
 * more, and an address that was given to another one has that one's. The API's answer as we ask for it holds neither subnet
 * routes nor services, so the directory has none.
 */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Journal } from "../journal/index.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { type Device, directoryOf } from "../processors/directory.ts";
import type { NameOptions } from "../processors/names.ts";
import { TailscaleError } from "./error.ts";
import type { TailscaleApi } from "./types.ts";

export interface DirectoryRefreshOptions {
  readonly intervalMs: number;
  /** The most devices that are kept; absent: 100,000, about 100 MB. */
  readonly maxDevices?: number;
}

export interface DirectoryRefreshDeps {
  readonly api: Pick<TailscaleApi, "devices">;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Keeps the devices for the next start. */
  readonly journal: Pick<Journal, "readDevices" | "writeDevices">;
  /** Whose directory it is. */
  readonly names: Pick<NameOptions, "directory">;
  /** There is another directory: the export worker must have it too. */
  readonly changed: () => void;
}

export interface DirectoryRefresh {
  /** Uses what was kept, if anything, and begins to ask the API. */
  start(): void;
  /** Safe before `start`, and twice. An answer that is under way is not used. */
  stop(): void;
}

const standardMaxDevices = 100_000;

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
  let isUnkept = false;

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
    use(devices);
    keep(devices);
  }

  function use(devices: readonly Device[]): void {
    if (deps.names.directory !== undefined) deps.names.directory.current = directoryOf(devices);
    deps.changed();
  }

  function keep(devices: readonly Device[]): void {
    try {
      deps.journal.writeDevices(devices);
      isUnkept = false;
    } catch (error) {
      if (!isUnkept) {
        const reason = error instanceof Error ? error.message : String(error);
        logger.warn("the directory of devices cannot be kept for the next start", { reason });
      }
      isUnkept = true;
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
      const kept = deps.journal.readDevices();
      if (kept !== undefined) {
        usedText = JSON.stringify(kept);
        use(kept);
      }
      void refresh();
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
