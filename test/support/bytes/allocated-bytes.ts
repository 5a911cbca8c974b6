/** How many bytes of Buffers `act` allocates, whether it returns or throws. */
export function allocatedIn(act: () => void): number {
  const { alloc, allocUnsafe, allocUnsafeSlow } = Buffer;
  let total = 0;
  Buffer.alloc = (size: number, ...rest: never[]): Buffer<ArrayBuffer> => {
    total += size;
    return alloc(size, ...rest);
  };
  Buffer.allocUnsafe = (size: number): Buffer<ArrayBuffer> => {
    total += size;
    return allocUnsafe(size);
  };
  Buffer.allocUnsafeSlow = (size: number): Buffer<ArrayBuffer> => {
    total += size;
    return allocUnsafeSlow(size);
  };
  try {
    act();
  } finally {
    Object.assign(Buffer, { alloc, allocUnsafe, allocUnsafeSlow });
  }
  return total;
}
