"""Adds up meson's JUnit log into the run's closing line. Exit status 1 unless all that ran passed."""
import sys
import xml.etree.ElementTree as ET


def main(path, seconds):
	passed, failed, skipped, names = 0, 0, 0, []
	for case in ET.parse(path).getroot().iter('testcase'):
		if case.find('failure') is not None or case.find('error') is not None:
			failed += 1
			names.append(f"{case.get('classname')} {case.get('name')}")
		elif case.find('skipped') is not None:
			skipped += 1
		else:
			passed += 1
	for suite in ET.parse(path).getroot().iter('testsuite'):
		# a program that died counts although no case of its own says so
		if int(suite.get('errors') or 0) > 0 and not list(suite.iter('testcase')):
			failed += 1
			names.append(suite.get('name'))
	for suite in ET.parse(path).getroot().iter('testsuite'):
		# what a failed program said of itself (TAP's comments)
		if int(suite.get('failures') or 0) + int(suite.get('errors') or 0):
			said = ''.join(e.text or '' for e in suite.iter() if e.tag in ('system-out', 'system-err'))
			print('\n'.join(line for line in said.splitlines() if 'WRONG' in line or line.startswith('# ..'))[:4000])
	for name in names:
		print('failed:', name)
	print(f'in {seconds} s')
	print(f'{passed} passed, {failed} failed, {skipped} skipped')
	return 1 if failed or not passed else 0


if __name__ == '__main__':
	sys.exit(main(sys.argv[1], sys.argv[2]))
