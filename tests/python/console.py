"""Drives the operators' console in a real browser. Asked by tests/it/tests/walks/console.rs: one JSON object on standard input, one on standard
output. Every step that does not go as it has to ends the program with an error."""

import json
import pathlib
import sys

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_SECONDS = 30
# Every page of the console with a word that stands on it, in each language.
SCREENS = ["/", "/search", "/incidents", "/peers", "/trust", "/bulk", "/audit", "/health"]


def browser(chromium, driver, width=1280):
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.accept_insecure_certs = True  # the test's own authority
    for argument in [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--window-size={width},900",
    ]:
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=Service(driver))


class Visitor:
    """An operator in front of a browser."""

    def __init__(self, asked):
        self.asked = asked
        self.driver = browser(asked["chromium"], asked["driver"])
        self.base = asked["link"].split("/sign-in")[0]

    def wait(self, condition):
        return WebDriverWait(self.driver, PATIENCE_SECONDS).until(lambda driver: condition())

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self):
        return self.one("main").text

    def sign_in(self):
        self.driver.get(self.asked["link"])
        self.one("form[action='/sign-in'] button").click()
        self.wait(lambda: self.driver.current_url == self.base + "/")
        self.driver.get(self.asked["link"])
        assert not self.all("form[action='/sign-in'] button"), "a link opens the console once"
        self.go("/")

    def go(self, path):
        self.driver.get(self.base + path)
        assert self.all("main"), f"{path} has no main region"

    def shoot(self, name):
        folder = pathlib.Path(self.asked["screenshots"])
        folder.mkdir(parents=True, exist_ok=True)
        # As tall as the page.
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self.driver.set_window_size(1280, max(900, min(height + 150, 4000)))
        self.driver.save_screenshot(str(folder / f"{name}.png"))
        self.driver.set_window_size(1280, 900)

    def search(self, what):
        self.go("/search")
        box = self.one("main input[name=q]")
        box.send_keys(what)
        box.submit()
        self.wait(lambda: "q=" in self.driver.current_url)

    def open_timeline(self, file_code):
        self.search(file_code)
        links = [link for link in self.all("main a") if link.text.strip() == file_code]
        assert links, f"{file_code} is not found: {self.text()}"
        links[0].click()
        self.wait(lambda: "/timeline" in self.driver.current_url)


def find(visitor):
    """Finds the stuck handoff by its file code and reads why; a subject is text whatever it says."""
    visitor.sign_in()
    home = visitor.text()
    for screen in SCREENS:
        visitor.go(screen)
        visitor.shoot("screen-" + (screen.strip("/") or "stuck"))
    visitor.open_timeline(visitor.asked["file_code"])
    page, title = visitor.text(), visitor.driver.title
    assert visitor.asked["subject"] in page, f"the subject is not shown as it is: {page}"
    assert "hijacked" not in title, "a subject ran as a script"
    assert not [tag for tag in visitor.all("script") if not tag.get_attribute("src")], "a script of no file of ours"
    visitor.shoot("timeline-stuck")
    return {"home": home, "timeline": page, "ladder": len(visitor.all("main svg"))}


def retry(visitor):
    """Retries it and sees it delivered, by the page's own refresh."""
    visitor.sign_in()
    visitor.open_timeline(visitor.asked["file_code"])
    for summary in visitor.all("details.actions > summary"):
        summary.click()
    form = visitor.one("form[action$='/retry']")
    form.find_element(By.NAME, "why").send_keys("trục huyện đã hoạt động lại")
    form.find_element(By.CSS_SELECTOR, "button").click()
    visitor.wait(lambda: "done=retry" in visitor.driver.current_url)
    # Nobody presses reload: the page refreshes itself.
    visitor.wait(lambda: visitor.asked["delivered_word"] in visitor.one("#receipts").text)
    visitor.shoot("timeline-delivered")
    page = visitor.text()
    visitor.go("/audit")
    audit = visitor.text()
    visitor.shoot("audit-retried")
    return {"timeline": page, "audit": audit}


def causes(visitor):
    """What the first page says of each cause."""
    visitor.sign_in()
    visitor.shoot(visitor.asked["shot"])
    return {"cards": [card.text for card in visitor.all("#stuck article.cause")]}


def statistics(visitor):
    """The numbers of the page's table, without the names and the share, and without what groups their digits."""
    visitor.sign_in()
    visitor.go(visitor.asked["page"])
    visitor.shoot(visitor.asked["shot"])
    rows = [
        ["".join(digit for digit in cell.text if digit.isdigit()) for cell in row.find_elements(By.CSS_SELECTOR, "td")[:-1]]
        for row in visitor.all("main table tbody tr, main table tfoot tr")
    ]
    return {"rows": rows, "charts": len(visitor.all("main svg"))}


def look_only(visitor):
    """A viewer sees everything, gets no button, and is refused when it acts all the same."""
    visitor.sign_in()
    visitor.open_timeline(visitor.asked["file_code"])
    assert not visitor.all("form[action^='/deliveries/']"), "a viewer has a button"
    token = visitor.one("form[action='/sign-out'] input[type=hidden]")
    fields = {token.get_attribute("name"): token.get_attribute("value"), "why": "thử", "back": "/"}
    status = visitor.driver.execute_async_script(
        """const [path, fields, done] = arguments;
        fetch(path, {method: 'POST', body: new URLSearchParams(fields), redirect: 'manual'}).then(a => done(a.status), e => done(String(e)));""",
        f"/deliveries/{visitor.asked['delivery_id']}/retry", fields,
    )
    visitor.driver.set_window_size(420, 900)
    visitor.go("/")
    visitor.driver.save_screenshot(str(pathlib.Path(visitor.asked["screenshots"]) / "narrow-stuck.png"))
    return {"status": status}


def main():
    asked = json.load(sys.stdin)
    visitor = Visitor(asked)
    try:
        answer = {"find": find, "retry": retry, "look_only": look_only, "causes": causes, "statistics": statistics}[asked["walk"]](visitor)
    finally:
        visitor.driver.quit()
    json.dump(answer, sys.stdout, ensure_ascii=False)


main()
