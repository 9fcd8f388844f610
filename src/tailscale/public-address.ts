/** The address at which Tailscale reaches a receiver. */

/** `publicUrl` as it is set; where it has no path, the receiver's own is added. */
export function publicAddress(publicUrl: string, receiverPath: string): string {
  const url = new URL(publicUrl);
  if (url.pathname === "/") url.pathname = receiverPath;
  return url.href;
}

/** Whether both mean the same place, however they are written: case of the host, default ports, a slash at the end. */
export function isSameAddress(one: string, other: string): boolean {
  return normal(one) === normal(other);
}

function normal(text: string): string {
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  url.pathname = url.pathname.replace(/\/+$/, "");
  return url.href;
}
