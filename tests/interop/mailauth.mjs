// Reads messages and the DNS that they are judged by as JSON from standard input, writes mailauth's verdicts.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const require = createRequire(process.argv[2] + '/');
const { authenticate } = require('mailauth');

const denial = (code) => Object.assign(new Error(code), { code });

const resolver = (records) => {
    const names = new Map(Object.entries(records).map(([name, found]) => [name.toLowerCase(), found]));
    const look = async (name, type) => {
        const found = names.get(name.toLowerCase().replace(/\.$/, ''));
        if (!found) throw denial('ENOTFOUND');
        const alias = found.find(([kind]) => kind === 'CNAME');
        if (alias) return look(alias[1], type);
        const wanted = found.filter(([kind]) => kind === type).map(([, value]) => value);
        if (!wanted.length) throw denial('ENODATA');
        if (type === 'TXT') return wanted.map((value) => [value]);
        if (type !== 'MX') return wanted;
        return wanted.map((value) => {
            const [priority, exchange] = value.split(' ');
            return { priority: Number(priority), exchange: exchange.replace(/\.$/, '') };
        });
    };
    return look;
};

const verdicts = {};
for (const [name, { raw, sender, ip, helo, records }] of Object.entries(JSON.parse(await text(process.stdin)))) {
    const options = { sender, ip, helo, mta: 'mx.receiver.com', resolver: resolver(records), strict: true };
    const { dkim, spf, dmarc } = await authenticate(Buffer.from(raw, 'base64'), options);
    verdicts[name] = {
        spf: spf.status.result,
        dkim: dkim.results.map((one) => one.status.result).join(',') || 'none',
        dmarc: dmarc ? dmarc.status.result : 'absent'
    };
}
const { version } = require('mailauth/package.json');
process.stdout.write(JSON.stringify({ mailauth: version, node: process.versions.node, verdicts }));
