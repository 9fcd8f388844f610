/** The paths of the receiver. */

export const defaultPath = "/services/collector/event";

/** What HEC clients post to when they are given no path of their own; taken with the default path only. */
const aliases = ["/services/collector", "/services/collector/event/1.0"];

/** Asked by clients and load balancers, whatever the path for records is. */
export const healthPaths: readonly string[] = ["/services/collector/health", "/services/collector/health/1.0"].flatMap(
  withTrailingSlash,
);

/** Where records may be posted to. */
export function ingestPaths(path: string): readonly string[] {
  const bare = path.length > 1 ? path.replace(/\/+$/, "") : path;
  return (bare === defaultPath ? [bare, ...aliases] : [bare]).flatMap(withTrailingSlash);
}

function withTrailingSlash(path: string): string[] {
  return path === "/" || path === "" ? ["/"] : [path, `${path}/`];
}
