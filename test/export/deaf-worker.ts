/** An export worker that ignores all messages. */
setInterval(() => undefined, 60_000);
