/** The client, with credentials that may change while the program runs. */
import { createTailscaleApi, type RequestDeps, type TailscaleAuth, type TailscaleOptions } from "./index.ts";
import type { TailscaleApi } from "./types.ts";

export interface ChangeableApi extends TailscaleApi {
  /** Requests from now on are signed with these. What is under way ends with those it began with. */
  useAuth(auth: TailscaleAuth): void;
}

/** Nothing is sent before the first call. */
export function createChangeableApi(options: TailscaleOptions, deps: RequestDeps): ChangeableApi {
  let used = JSON.stringify(options.auth);
  let current = createTailscaleApi(options, deps);
  return {
    useAuth(auth) {
      const next = JSON.stringify(auth);
      if (next === used) return;
      used = next;
      current = createTailscaleApi({ ...options, auth }, deps);
    },
    get clockAheadMs() {
      return current.clockAheadMs;
    },
    readLogs: (...given) => current.readLogs(...given),
    devices: () => current.devices(),
    logStream: (...given) => current.logStream(...given),
    putLogStream: (...given) => current.putLogStream(...given),
    deleteLogStream: (...given) => current.deleteLogStream(...given),
    logStreamStatus: (...given) => current.logStreamStatus(...given),
    webhooks: () => current.webhooks(),
    createWebhook: (...given) => current.createWebhook(...given),
    updateWebhook: (...given) => current.updateWebhook(...given),
    deleteWebhook: (...given) => current.deleteWebhook(...given),
    testWebhook: (...given) => current.testWebhook(...given),
    rotateWebhook: (...given) => current.rotateWebhook(...given),
    authenticate: () => current.authenticate(),
  };
}
