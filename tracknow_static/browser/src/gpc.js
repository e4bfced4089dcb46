// Global Privacy Control is a refusal that nothing on the page takes back. Runs after carry.js,
// which then waits, and before any consent manager's adapter.

if (navigator.globalPrivacyControl) {
  tracknow.consent(false);
  tracknow.consent = () => {};
}
