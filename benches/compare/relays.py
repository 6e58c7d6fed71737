"""Relays that write down when they were waited for: relays.py FILE NAME:PORT:TARGET...

One JSON line for each request, {"name", "begun", "ended"} in seconds of the monotonic clock, which all processes share: from the first
byte of a request to the last byte of its answer. A process of its own, so that it costs the measured ones nothing but a core.
"""

import asyncio
import json
import sys
import time


class Exchange:
    """One request and its answer on a kept connection: a new one begins when bytes go up after bytes came down."""

    def __init__(self, name, log):
        self.name, self.log = name, log
        self.begun = self.ended = None

    def up(self):
        if self.ended is not None:
            self.write()
        if self.begun is None:
            self.begun = time.monotonic()

    def down(self):
        self.ended = time.monotonic()

    def write(self):
        if self.begun is not None and self.ended is not None:
            print(json.dumps({"name": self.name, "begun": self.begun, "ended": self.ended}), file=self.log, flush=True)
        self.begun = self.ended = None


async def pump(reader, writer, before=lambda: None, after=lambda: None):
    try:
        while data := await reader.read(65536):
            before()
            writer.write(data)
            await writer.drain()
            after()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main(file, relays):
    with open(file, "a") as log:

        async def relay(name, port, target):
            open_exchanges = []

            async def serve(reader, writer):
                exchange = Exchange(name, log)
                open_exchanges.append(exchange)
                # The way on is opened after the first byte: the time that takes is the relay's, not that of whoever sends.
                first = await reader.read(65536)
                exchange.up()
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
                there_writer.write(first)
                await asyncio.gather(pump(reader, there_writer, before=exchange.up), pump(there_reader, writer, after=exchange.down))
                exchange.write()
                open_exchanges.remove(exchange)

            async def flush():
                # An answer is whole when nothing has followed for a while.
                while True:
                    await asyncio.sleep(0.05)
                    for exchange in open_exchanges:
                        if exchange.ended is not None and time.monotonic() - exchange.ended > 0.1:
                            exchange.write()

            server = await asyncio.start_server(serve, "127.0.0.1", port)
            await asyncio.gather(server.serve_forever(), flush())

        await asyncio.gather(*(relay(name, int(port), int(target)) for name, port, target in relays))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], [word.split(":") for word in sys.argv[2:]]))
