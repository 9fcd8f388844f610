/** What a row of the table of settings says: a setting of the Go program, and what becomes of it here. */

/** The settings of the Go program: what was given, or else the default in the table. */
export interface GoSettings {
  /** `undefined` if it was not given. */
  given(key: string): unknown;
  text(key: string): string;
  isOn(key: string): boolean;
}

export interface Mapping {
  /** A setting of the Go program; with `.*` at the end, everything below a section. */
  readonly from: string;
  /** The setting here that takes the value; without one, `remark` says why there is none. */
  readonly to?: string;
  /** The default in the Go program, as people write it there. */
  readonly initial?: string;
  /** What is different, or why there is no equivalent: a clause. */
  readonly remark?: string;
  /** Whether the remark is for the user of these settings. Without it: if the value is not the default. */
  readonly concerns?: (go: GoSettings) => boolean;
  /** Something has to be done by hand, if the remark is for this user. */
  readonly isTask?: true;
  /**
   * From a value of the right type to one for `to`; `undefined` stands for the default here. A default of the Go program goes
   * through it too, so that whoever never set it finds the same behavior here.
   */
  readonly convert?: (value: unknown, go: GoSettings) => unknown;
}

type More = Omit<Mapping, "from" | "to" | "initial">;

/** A setting of the same name. */
export function same(from: string, initial: string, more: More = {}): Mapping {
  return { from, to: from, initial, ...more };
}

/** A setting of another name. */
export function moved(from: string, to: string, initial: string, more: More = {}): Mapping {
  return { from, to, initial, ...more };
}

/** One without an equivalent; of a section, `concerns` says whether it is in use. */
export function missing(
  from: string,
  remark: string,
  more: Pick<Mapping, "initial" | "concerns" | "isTask"> = {},
): Mapping {
  return { from, remark, ...(from.endsWith(".*") ? { concerns: () => false } : {}), ...more };
}

/** For `convert`: `0` and less mean the default. */
export const positive = (value: unknown): unknown => (typeof value === "number" && value <= 0 ? undefined : value);

/** For `concerns`: a switch of the Go program is on. */
export const on =
  (key: string) =>
  (go: GoSettings): boolean =>
    go.isOn(key);

/** Whether the Go program has credentials for Tailscale's API. It reads only those of its method. */
export function hasGoCredentials(go: GoSettings): boolean {
  const isGiven = (key: string): boolean => go.text(key) !== "" || go.text(`${key}_file`) !== "";
  switch (go.text("tailscale.auth.method")) {
    case "oauth":
      return go.text("tailscale.auth.oauth.client_id") !== "" && isGiven("tailscale.auth.oauth.client_secret");
    case "apikey":
      return isGiven("tailscale.auth.apikey");
    default:
      return false;
  }
}
