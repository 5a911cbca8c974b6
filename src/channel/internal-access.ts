// The members of a Channel that only the library uses. Symbols hide them from users.

/** The connection, or the client, that a Channel belongs to. */
export const host: unique symbol = Symbol('rxjs-sockets.host');

/** Sends a value from a source that is held while the Channel is not writable. */
export const nextPaced: unique symbol = Symbol('rxjs-sockets.nextPaced');

/** Sends a value as the given `Pace` says. If the value is refused, returns the error. */
export const offer: unique symbol = Symbol('rxjs-sockets.offer');

/** Sends a value, and calls back when the kernel has taken the whole value, or when the value has been lost. */
export const track: unique symbol = Symbol('rxjs-sockets.track');

/** Makes a Channel with the same codec for a single connection of a client. */
export const ofConnection: unique symbol = Symbol('rxjs-sockets.ofConnection');

/** Whether a Channel has no codec, so that it sends bytes unchanged. */
export const unframed: unique symbol = Symbol('rxjs-sockets.unframed');

/** The values of a Channel without a codec, for a subscriber that keeps none of their bytes. */
export const borrowed: unique symbol = Symbol('rxjs-sockets.borrowed');
