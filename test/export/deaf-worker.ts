/** An export worker that hears nothing. */
setInterval(() => undefined, 60_000);
