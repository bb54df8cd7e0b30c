# SPDX-License-Identifier: Apache-2.0
"""Chromium without a screen, in a namespace of a lab, told what to do through a pair of pipes (its DevTools protocol)."""
import base64
import itertools
import json
import os
import select
import time

DEADLINE = 60


class Browser:
    """One page. As a context manager it starts Chromium in the namespace, and ends it."""

    def __init__(self, namespace, directory):
        self.namespace, self.directory = namespace, directory
        self.serial = itertools.count(1)
        self.complaints = []  # what the page has logged as an error, or thrown, or was refused to load
        self.session = None
        self.loaded = False

    def __enter__(self):
        theirs_in, self.to = os.pipe()
        self.back, theirs_out = os.pipe()
        # It expects them as descriptors 3 and 4, and refuses its sandbox to root.
        words = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                 "--no-first-run", "--disable-background-networking", "--disable-extensions", f"--user-data-dir={self.directory}",
                 "--remote-debugging-pipe", "about:blank"]
        self.log = open(self.directory / "chromium.log", "w+b")
        self.process = self.namespace.popen("bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *words,
                                            pass_fds=(theirs_in, theirs_out), stdout=self.log, stderr=self.log,
                                            env={**os.environ, "HOME": str(self.directory)})
        os.close(theirs_in)
        os.close(theirs_out)
        self.rest = b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network":
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.back)
        self.log.close()

    def call(self, method, **parameters):
        """One command; its result."""
        number = next(self.serial)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + DEADLINE
        while True:
            answer = self._receive(end)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _receive(self, end):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.back], [], [], max(0, end - time.monotonic()))
            chunk = os.read(self.back, 1 << 20) if ready else b""
            if not chunk:
                self.log.seek(0)
                raise AssertionError("Chromium says nothing: " + self.log.read().decode(errors="replace")[-2000:])
            self.rest += chunk
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def _note(self, event):
        parameters = event.get("params", {})
        if event.get("method") == "Page.loadEventFired":
            self.loaded = True
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"].get("exception", parameters)))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.complaints.append(parameters["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith(("http://127.0.0.1:", "data:", "about:")):
                self.complaints.append(f"a request to {url}")

    def look(self, width, height, dark=False, phone=False, deficiency="none"):
        """The screen from now on, and how it is seen."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setEmulatedVisionDeficiency", type=deficiency)

    def open(self, url):
        """Returns when all that the page itself names is there."""
        self.loaded = False
        self.call("Page.navigate", url=url)
        end = time.monotonic() + DEADLINE
        while not self.loaded:
            self._note(self._receive(end))

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition, what, deadline=DEADLINE):
        """Until a JavaScript expression is true; looked at each time that the page draws."""
        text = f"""new Promise(done => {{
            const end = performance.now() + {deadline * 1000};
            const look = () => ({condition}) ? done(true) : performance.now() > end ? done(false) : setTimeout(look, 50);
            look(); }})"""
        assert self.evaluate(text), f"{what}: never; the page says: {self.text()[:2000]}"

    def text(self):
        return self.evaluate("document.body ? document.body.innerText : ''")

    def screenshot(self, path, above="body > :last-child", height_max=10000):
        """The page from its top to where this element begins."""
        height = min(height_max, self.evaluate(f"Math.floor(document.querySelector('{above}').getBoundingClientRect().top + scrollY)"))
        width = self.evaluate("window.innerWidth")
        image = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                          clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})
        path.write_bytes(base64.b64decode(image["data"]))
