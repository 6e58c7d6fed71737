// A person in front of Debian's Chromium, by playwright-core.
//
// Started with one argument, a JSON object: { journey, port, shots, certificate }. Tells one JSON line a step; judges nothing. The browser
// finds every *.vestibule.test at 127.0.0.1 and accepts the test certificate's key, nothing else about TLS is relaxed. Pages run no script:
// every journey goes without.

import { createHash, X509Certificate } from 'node:crypto';
import { createRequire } from 'node:module';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const require = createRequire(new URL('../../target/lab/package.json', import.meta.url));
const { chromium } = require('playwright-core');
const asked = JSON.parse(process.argv[2]);
const tell = (step, fields = {}) => console.log(JSON.stringify({ step, ...fields }));

const at = (label, path = '/') => `https://${label}.vestibule.test:${asked.port}${path}`;
const key = new X509Certificate(readFileSync(asked.certificate)).publicKey.export({ type: 'spki', format: 'der' });
const places = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/snap/bin/chromium'];
const executablePath = places.find((place) => place && existsSync(place));
if (!executablePath) throw new Error('no Chromium here. Run `make setup-lab` first, or name one in CHROMIUM');

const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--host-resolver-rules=MAP *.vestibule.test 127.0.0.1',
    `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`,
  ],
});
const context = await browser.newContext({ viewport: { width: 900, height: 640 }, javaScriptEnabled: false });
context.setDefaultTimeout(60_000);

// What a page says: the app's own marks where it is the app, our heading and text where it is ours.
const look = async (page) => ({
  url: page.url(),
  ...(await page.evaluate(() => {
    const text = (selector) => document.querySelector(selector)?.textContent;
    const marks = { heading: text('h1'), person: text('#person'), line: text('#line'), sent: text('#sent') };
    return { ...marks, text: document.body.innerText, scripts: document.scripts.length };
  })),
});
const shot = (page, name) => page.screenshot({ path: `${asked.shots}/${name}.png` });

// A page whose next navigation is under way as long as it is shown. The driver and the page's own inspector wait for that navigation to end;
// the browser itself tells what it has on screen all the same: what it painted, the document as it stands, a picture.
async function glance(page, name) {
  const browserOwn = await context.newCDPSession(page);
  let painted = 0;
  browserOwn.on('Page.lifecycleEvent', (event) => {
    if (event.name === 'init') painted = 0;
    if (event.name === 'firstContentfulPaint') painted += 1;
  });
  await browserOwn.send('Page.enable');
  await browserOwn.send('Page.setLifecycleEventsEnabled', { enabled: true });
  return async () => {
    for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((later) => setTimeout(later, 100))) {
      // While one page takes another's place there is none to tell of, and the question may hang until the next navigation: asked again.
      const nothing = { data: '' };
      const patience = new Promise((later) => setTimeout(later, 1_000, nothing));
      const { data } = await Promise.race([browserOwn.send('Page.captureSnapshot').catch(() => nothing), patience]);
      const html = data.replace(/=\r?\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
      if (!painted || !html.includes('role="status"')) continue;
      const picture = await browserOwn.send('Page.captureScreenshot');
      writeFileSync(`${asked.shots}/${name}.png`, Buffer.from(picture.data, 'base64'));
      const heading = /<h1>(.*?)<\/h1>/s.exec(html)?.[1];
      return { heading, scripts: (html.match(/<script/gi) ?? []).length, painted };
    }
    throw new Error('no waiting page was painted within 30 s');
  };
}

// The provider's form. A navigation there may still be under way.
async function signIn(page, login) {
  await page.waitForSelector('[name=login]');
  await page.fill('[name=login]', login);
  await page.fill('[name=password]', 'any');
  await page.click('button[type=submit]', { noWaitAfter: true });
}
const inTheApp = (page) => page.waitForSelector('#person');
// Of many tabs at once a click may come to nothing while the browser is busy: whoever still has the provider's form before them presses again, twice at most.
async function inTheAppAfterAll(page, login) {
  for (let pressed = 0; pressed < 2; pressed += 1) {
    const there = await page.waitForSelector('#person', { timeout: 15_000 }).catch(() => undefined);
    if (there || !(await page.$('[name=login]'))) break;
    await signIn(page, login);
  }
  return inTheApp(page);
}
// A page of the gateway's with this in its heading.
const onOurPage = (page, heading) => page.waitForSelector(`main h1:has-text("${heading}")`);

const journeys = {
  async first_visit() {
    const page = await context.newPage();
    page.on('requestfinished', async (request) => {
      if (!new URL(request.url()).pathname.startsWith('/.vestibule/wait')) return;
      tell('held', { status: (await request.response()).status(), ms: request.timing().responseStart });
    });
    await page.goto(at('wiki', '/deep/link?x=1'));
    await shot(page, 'provider');
    const waiting = await glance(page, 'waiting');
    await signIn(page, 'ada');
    tell('waiting', await waiting());
    await inTheApp(page);
    tell('arrived', await look(page));
    await shot(page, 'arrived');
    const cookies = (await context.cookies()).filter((cookie) => cookie.domain.endsWith('vestibule.test'));
    tell('cookies', { cookies });
  },

  async denied() {
    const page = await context.newPage();
    await page.goto(at('wiki'));
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.url() === at('wiki') && response.status() >= 400),
      signIn(page, 'con'),
    ]);
    await onOurPage(page, 'have access');
    tell('denied', { status: answer.status(), incident: answer.headers()['x-vestibule-incident'], ...(await look(page)) });
    await shot(page, 'denied');
    await page.click('main a:has-text("Use another account")', { noWaitAfter: true });
    await signIn(page, 'ada');
    // The provider's own page between two people: with scripts it would go on by itself.
    await page.click('button:has-text("Continue")', { noWaitAfter: true });
    await inTheApp(page);
    tell('another account', await look(page));
  },

  async second_app() {
    const page = await context.newPage();
    await page.goto(at('wiki'));
    await signIn(page, 'ada');
    await inTheApp(page);
    tell('first', await look(page));
    await page.goto(at('tickets', '/mine'));
    await inTheApp(page);
    tell('second', await look(page));
  },

  async logout() {
    const page = await context.newPage();
    await page.goto(at('wiki'));
    await signIn(page, 'ada');
    await inTheApp(page);
    await page.goto(at('tickets'));
    await inTheApp(page);
    await signOut(page);
    tell('signed out', await look(page));
    await shot(page, 'signed-out');
    for (const app of ['wiki', 'tickets']) {
      await page.goto(at(app));
      tell(`${app} again`, await look(page));
    }
  },

  // The provider is at another site: its form brings none of our cookies, the redirect after it does.
  async saml() {
    const page = await context.newPage();
    const posted = [];
    page.on('request', async (request) => {
      const headers = await request.allHeaders();
      if (request.url().includes('/saml/acs')) posted.push({ method: request.method(), site: headers['sec-fetch-site'], cookies: 'cookie' in headers });
    });
    await page.goto(at('both', '/deep?x=1'));
    await page.fill('#username', 'ada');
    await page.fill('#password', 'ada');
    await page.click('#submit_button', { noWaitAfter: true });
    await page.click('form[action$="/saml/acs"] button', { noWaitAfter: true });
    await inTheApp(page);
    tell('arrived', { posted, ...(await look(page)) });
  },

  async twenty_tabs() {
    const numbers = Array.from({ length: 20 }, (_, number) => number);
    const pages = await Promise.all(numbers.map(() => context.newPage()));
    await Promise.all(pages.map((page, number) => page.goto(at('wiki', `/tab/${number}`))));
    await Promise.all(pages.map((page) => signIn(page, 'ada')));
    await Promise.all(pages.map((page) => inTheAppAfterAll(page, 'ada')));
    for (const [number, page] of pages.entries()) tell('tab', { number, ...(await look(page)) });
  },

  async typed_text() {
    const page = await context.newPage();
    await page.goto(at('wiki', '/long/form'));
    await signIn(page, 'ada');
    await inTheApp(page);
    await page.fill('textarea', 'three hours of work');
    const beside = await context.newPage();
    await beside.goto(at('wiki'));
    await signOut(beside);
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.request().method() === 'POST'),
      page.click('button', { noWaitAfter: true }),
    ]);
    await onOurPage(page, 'session has ended');
    tell('ended', { status: answer.status(), ...(await look(page)) });
    await shot(page, 'session-ended');
    const [tab] = await Promise.all([context.waitForEvent('page'), page.click('main a')]);
    await signIn(tab, 'ada');
    await onOurPage(tab, 'signed in');
    tell('new tab', await look(tab));
    await shot(tab, 'signed-in');
    await beside.goto(at('wiki'));
    tell('signed in beside', await look(beside));
    await page.reload();
    await inTheApp(page);
    tell('reloaded', await look(page));
  },
};

// Signing out by the gateway's own page, and at the provider when it asks.
async function signOut(page) {
  await page.goto(at(new URL(page.url()).hostname.split('.')[0], '/.vestibule/logout'));
  await page.click('main button', { noWaitAfter: true });
  await page.waitForSelector('[name=logout]');
  await page.click('[name=logout]', { noWaitAfter: true });
  await onOurPage(page, 'signed out');
}

const open = setTimeout(() => {
  console.error('the journey took longer than 100 s');
  process.exit(1);
}, 100_000);
try {
  await journeys[asked.journey]();
} catch (error) {
  // Those that did not arrive tell more than those that did.
  const arrived = await Promise.all(context.pages().map(async (page) => ((await page.$('#person').catch(() => null)) ? 1 : 0)));
  const pages = context.pages().map((page, number) => [arrived[number], page]).sort(([one], [other]) => one - other);
  for (const [number, [, page]] of pages.entries()) {
    if (number < 3) console.error(`stood at ${page.url()}\n${(await page.textContent('body').catch(() => '')).slice(0, 2000)}`);
  }
  throw error;
} finally {
  clearTimeout(open);
  await browser.close();
}
