// What messages carry beside their text: how it goes over the wire, and the modules through which wa-js sends and fetches
// files. The fake network keeps a file under its SHA-256.
'use strict';

// Ids are texts on the wire.
const FIELDS = [
  'lat', 'lng', 'loc', 'vcardFormattedName', 'vcardList', 'pollName', 'pollOptions', 'pollSelectableOptionsCount',
  'quotedMsg', 'quotedParticipant', 'quotedStanzaID', 'mentionedJidList', 'isForwarded', 'forwardingScore', 'mimetype',
  'filename', 'size', 'filehash', 'backgroundColor', 'font', 'audience',
  'matchedText', 'title', 'eventName', 'eventDescription', 'eventStartTime', 'eventEndTime', 'eventLocation',
];
// As on the real page, a message has the digest of its file in base64; the network names files by it in hex.
const inHex = (digest) => [...atob(digest)].map((char) => char.charCodeAt(0).toString(16).padStart(2, '0')).join('');
const inBase64 = (hex) => btoa(hex.replace(/../g, (pair) => String.fromCharCode(parseInt(pair, 16))));
function wired(raw) {
  const fields = Object.fromEntries(FIELDS.filter((name) => raw[name] != null).map((name) => [name, raw[name]]));
  if (fields.filehash) fields.filehash = inHex(fields.filehash);
  return JSON.parse(JSON.stringify(fields));
}
function unwired(data) {
  const fields = { ...data };
  if (fields.filehash) fields.filehash = inBase64(fields.filehash);
  if (fields.quotedParticipant) fields.quotedParticipant = wid(fields.quotedParticipant);
  if (fields.mentionedJidList) fields.mentionedJidList = fields.mentionedJidList.map(wid);
  return fields;
}

const FILES = ['image', 'video', 'gif', 'audio', 'ptt', 'ptv', 'document', 'sticker'];
// As on the real page, the body of such a message is a small picture, and its text a caption.
const THUMBNAIL = '/9j/4AAQSkZJRgABAQ==';
const textOf = (raw) => (FILES.includes(raw.type) ? raw.caption : raw.body) ?? '';
function fileOf({ kind, body, data }) {
  if (!FILES.includes(kind)) return {};
  const { mimetype, size, filehash, filename } = unwired(data);
  const mediaData = new Model({ type: kind, mimetype, size, filehash, filename, mediaStage: 'RESOLVED' });
  return { caption: body || undefined, body: THUMBNAIL, mediaData, mediaObject: { type: kind.toUpperCase() } };
}

// Bytes behind a handle, as the real page passes them around.
class OpaqueData {
  constructor(blob) {
    this.blob = blob;
  }
  static async createFromData(blob) {
    return new OpaqueData(blob);
  }
  throwIfReleased() {}
  type() {
    return this.blob.type;
  }
  forceToBlob() {
    return this.blob;
  }
  url() {
    return '';
  }
  autorelease() {}
  retain() {}
  release() {}
}

Msg.prototype.downloadMedia = async function () {
  const answer = await fetch(`/media/${inHex(this.filehash)}`);
  if (!answer.ok) throw new Error('the network does not have this file');
  this.mediaData.set({ mediaBlob: new OpaqueData(await answer.blob()) });
};

// A preview of a link, which wa-js asks for unless it is told not to.
define('WAWebLinkify', { findFirstWebLink: (text) => /https?:\/\/\S+/.exec(text)?.[0] });
define('WAWebLinkPreviewChatAction', { getLinkPreview: async (link) => ({ data: { matchedText: link, title: 'A page' } }) });

// `send` puts a message into a chat, has its file uploaded, and gives the network's answer. A status update comes without a
// key, and gets one (`begun`).
function fileModules(send, begun) {
  class MediaPrep {
    constructor(data, { asDocument, asSticker, isPtt }) {
      const { type: mimetype, size, name } = data.forceToBlob();
      const plain = mimetype.split('/')[0];
      const type = asDocument ? 'document' : asSticker ? 'sticker' : isPtt ? 'ptt' : FILES.includes(plain) ? plain : 'document';
      this.mediaData = new Model({ type, mimetype, size, filename: type === 'document' ? name : undefined, mediaBlob: data, mediaStage: 'INIT' });
    }
    async waitForPrep() {
      const digest = await crypto.subtle.digest('SHA-256', await this.mediaData.mediaBlob.forceToBlob().arrayBuffer());
      const filehash = btoa(String.fromCharCode(...new Uint8Array(digest)));
      this.mediaData.set({ filehash });
    }
    async sendToChat({ chat, options }) {
      const { mediaData } = this;
      const { type, mimetype, size, filehash, filename } = mediaData;
      const from = options.productMsgOptions ?? begun(chat);
      const raw = { ...from, type, mimetype, size, filehash, filename, caption: options.caption };
      const [message, result] = await send(chat, { ...raw, body: THUMBNAIL, mediaData }, async () => {
        mediaData.set({ mediaStage: 'UPLOADING' });
        const { ok } = await fetch('/media', { method: 'PUT', body: mediaData.mediaBlob.forceToBlob() });
        mediaData.set({ mediaStage: ok ? 'RESOLVED' : 'ERROR_UPLOAD' });
        return ok;
      });
      // The real page answers with the message, too.
      return { ...(await result), msg: { id: message.id.toString() } };
    }
  }
  define('WAWebMediaOpaqueData', { default: OpaqueData });
  define('WAWebPrepRawMedia', {
    MediaPrep,
    uploadProductImage() {},
    prepRawMedia: (data, flags) => new MediaPrep(data, flags),
  });
  define('WAWebMediaGatingUtils', { getUploadLimit: (kind) => (kind === 'document' ? 2048 : 64) * 1024 * 1024 });
}
