"""The private Postfix of the tests: accepts, delivers, refuses as told, stops, comes back."""
import pathlib
import smtplib
import sys
import tempfile
import unittest
from email.message import EmailMessage

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
import mailserver


def mail_to(box, text):
	m = EmailMessage()
	m["From"], m["To"], m["Subject"] = "town@town.test", box, "Núm. 1"
	m.set_content(text)
	return m


@unittest.skipIf(mailserver.available(), mailserver.available())
class TestPostfix(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory(prefix="centraleta-mail-")
		self.addCleanup(folder.cleanup)
		self.mail = mailserver.Postfix(replies={
			"nobody@citizen.test": "550 5.1.1 No such box",
			"later@citizen.test": "450 4.2.0 Try again",
		})
		self.mail.start(folder.name)
		self.addCleanup(self.mail.stop)

	def send(self, box, text="hola, Núria"):
		with smtplib.SMTP("127.0.0.1", self.mail.port, timeout=10) as s:
			s.send_message(mail_to(box, text))

	def test_delivers_and_comes_back(self):
		self.send("núria.not.here@citizen.test".replace("ú", "u"))
		(got,) = self.mail.wait_for(1)
		self.assertEqual(got["X-Original-To"], "nuria.not.here@citizen.test")
		self.assertIn("hola, Núria", mailserver.text_of(got))
		self.mail.stop()
		with self.assertRaises(OSError):
			self.send("second@citizen.test")
		self.mail.restart()
		self.send("third@citizen.test")
		boxes = {m["X-Original-To"] for m in self.mail.wait_for(2)}
		self.assertEqual(boxes, {"nuria.not.here@citizen.test", "third@citizen.test"})
		self.assertEqual(self.mail.queued(), 0)

	def test_refuses_as_told(self):
		for box, code in (("nobody@citizen.test", 550), ("later@citizen.test", 450),
				("box@elsewhere.test", 554)):
			with self.assertRaises(smtplib.SMTPRecipientsRefused) as caught:
				self.send(box)
			self.assertEqual(caught.exception.recipients[box][0], code)
		self.assertEqual(self.mail.messages(), [])


if __name__ == "__main__":
	unittest.main()
